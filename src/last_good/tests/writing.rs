//! Writers that die, race, or meet a failing disk. A reader always sees one complete file or another.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

use signet_files::cache::FileFault;
use signet_testkit::process::{again, again_on_a_small_disk, again_unprivileged, directory, left_out, passes};

use super::*;
use crate::last_good::{FILE_NAME, Refusal};

/// A process of a test, which is killed when dropped.
struct Process(Child);

impl Process {
    fn start(mut command: Command) -> Self {
        Self(command.stdout(Stdio::null()).spawn().expect("the process starts"))
    }

    fn kill(&mut self) {
        self.0.kill().expect("killed");
        self.0.wait().expect("ended");
    }

    fn is_running(&mut self) -> bool {
        self.0.try_wait().expect("its state").is_none()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The number of keys in the longer of the two files that writers write.
const MANY: usize = 40;
/// Keys of the fastest type, because each writer makes its own.
static QUICK: LazyLock<Vec<VerifyingKey>> = LazyLock::new(|| (0..MANY).map(|_| make(Algorithm::EdDSA)).collect());

/// Rings of `keys` keys, which give files of very different lengths.
fn ring_of(keys: usize) -> Remembered {
    let key = |at: usize| record(&QUICK[at], i64::try_from(at).expect("fits"));
    remembered((0..keys).map(key).collect())
}

/// Writes for ever, a long file and a short one in turn.
fn write_for_ever(directory: &Path) -> ! {
    let file = in_directory(directory);
    let rings = [ring_of(MANY), ring_of(1)];
    loop {
        for ring in &rings {
            file.write(ring).expect("written");
        }
    }
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .expect("the directory")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn the_file_is_for_the_owner_alone_and_nothing_else_is_left() {
    let directory = temporary();
    let below = directory.path().join("data");
    let file = in_directory(&below);
    file.write(&ring_of(MANY)).expect("written");
    file.write(&ring_of(MANY)).expect("written");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o7777;
    assert_eq!((mode(file.path()), mode(&below)), (0o600, 0o700));
    assert_eq!(names(&below), [FILE_NAME, "last-good.json.lock"]);
}

#[test]
fn what_a_crash_left_or_somebody_planted_is_in_nobodys_way() {
    let directory = temporary();
    let file = in_directory(directory.path());
    let left = PathBuf::from(format!("{}.tmp", file.path().display()));
    fs::write(&left, "{ \"format\": \"signet-last").expect("written");
    assert!(file.read().expect("no error").is_none(), "it is not taken for the file");
    file.write(&ring_of(MANY)).expect("written");
    assert!(!left.exists());

    let victim = directory.path().join("victim");
    fs::write(&victim, "precious").expect("written");
    symlink(&victim, &left).expect("linked");
    file.write(&ring_of(1)).expect("written");
    assert_eq!(fs::read(&victim).expect("reads"), b"precious");
    assert!(!left.exists() && !file.path().is_symlink());
    assert_eq!(facts(&file.read().expect("reads").expect("there")), facts(&ring_of(1)));
}

#[test]
fn a_writer_killed_at_any_moment_leaves_a_whole_file() {
    const NAME: &str = "last_good::tests::writing::a_writer_killed_at_any_moment_leaves_a_whole_file";
    if let Some(directory) = directory() {
        write_for_ever(&directory);
    }
    let directory = temporary();
    let file = in_directory(directory.path());
    let mut left = 0;
    for kill in 0..25_usize {
        drop(fs::remove_file(file.path()));
        let mut writer = Process::start(again(NAME, directory.path()));
        // Kill the writer after a number of changes that depends on the round, wherever it is then.
        let mut seen = None;
        let mut changes = 0;
        while changes <= kill % 7 {
            assert!(writer.is_running(), "the writer ended by itself");
            let now = fs::metadata(file.path()).ok().map(|metadata| metadata.ino());
            if now != seen {
                (seen, changes) = (now, changes + 1);
            }
        }
        writer.kill();
        left += usize::from(names(directory.path()).iter().any(|name| name.ends_with(".tmp")));
        let read = file.read().expect("reads").expect("there");
        assert!([1, MANY].contains(&read.rings[0].records.len()));
    }
    // The next writer copes with whatever was left.
    file.write(&ring_of(MANY)).expect("written");
    assert_eq!(names(directory.path()), [FILE_NAME, "last-good.json.lock"]);
    left_behind(left);
}

#[expect(clippy::print_stdout, reason = "tests tell their figures")]
fn left_behind(left: usize) {
    println!("of 25 killed writers {left} left a temporary file");
}

#[test]
fn two_processes_on_one_directory_never_make_a_torn_file() {
    const NAME: &str = "last_good::tests::writing::two_processes_on_one_directory_never_make_a_torn_file";
    if let Some(directory) = directory() {
        write_for_ever(&directory);
    }
    let directory = temporary();
    let file = in_directory(directory.path());
    let mut writers = [0, 1].map(|_| Process::start(again(NAME, directory.path())));
    let (mut short, mut long) = (0, 0);
    while short < 100 || long < 100 {
        assert!(writers.iter_mut().all(Process::is_running), "a writer failed");
        match file.read().expect("never torn") {
            Some(read) if read.rings[0].records.len() == 1 => short += 1,
            Some(read) => {
                assert_eq!(read.rings[0].records.len(), MANY);
                long += 1;
            }
            None => assert_eq!(short + long, 0, "the file is never missing in between"),
        }
    }
}

#[test]
fn a_full_disk_refuses_the_next_file_and_keeps_the_last() {
    const NAME: &str = "last_good::tests::writing::a_full_disk_refuses_the_next_file_and_keeps_the_last";
    let Some(small) = directory() else {
        let directory = temporary();
        return match again_on_a_small_disk(NAME, directory.path(), 64) {
            Some(command) => passes(command),
            None => left_out(NAME, "this machine lets us mount no file system"),
        };
    };
    let file = in_directory(&small);
    file.write(&ring_of(1)).expect("written");
    let filler = small.join("filler");
    let mut filling = File::create(&filler).expect("made");
    while filling.write_all(&[0; 512]).is_ok() {}
    for _ in 0..2 {
        let error = file.write(&ring_of(MANY)).expect_err("the disk is full");
        let text = told(&file, &error);
        assert!(
            matches!(error.refusal, Refusal::File(FileFault::Unwritten(_))) && text.contains("Free some space"),
            "{text}"
        );
        assert_eq!(facts(&file.read().expect("reads").expect("there")), facts(&ring_of(1)));
        assert!(!names(&small).iter().any(|name| name.ends_with(".tmp")));
    }
    drop(filling);
    fs::remove_file(&filler).expect("removed");
    file.write(&ring_of(MANY)).expect("written");
    assert_eq!(
        facts(&file.read().expect("reads").expect("there")),
        facts(&ring_of(MANY))
    );
}

#[test]
fn a_directory_that_may_not_be_written_is_named_and_what_is_in_it_is_read() {
    const NAME: &str =
        "last_good::tests::writing::a_directory_that_may_not_be_written_is_named_and_what_is_in_it_is_read";
    let Some(ours) = directory() else {
        let directory = temporary();
        return passes(again_unprivileged(NAME, directory.path()));
    };
    let file = in_directory(&ours);
    file.write(&ring_of(1)).expect("written");
    fs::set_permissions(&ours, fs::Permissions::from_mode(0o500)).expect("chmod");
    let error = file.write(&ring_of(MANY)).expect_err("read-only");
    let text = told(&file, &error);
    let us = format!("user {}", rustix::process::geteuid().as_raw());
    assert!(
        text.contains("permission denied") && text.contains(&us) && text.contains("SIGNET_DATA_DIR"),
        "{text}"
    );
    assert_eq!(facts(&file.read().expect("reads").expect("there")), facts(&ring_of(1)));
    fs::set_permissions(&ours, fs::Permissions::from_mode(0o700)).expect("chmod");
}
