//! The page in a real browser, with and without JavaScript. Screenshots are kept in the target
//! directory for people to look at.

use std::fs;
use std::path::PathBuf;

use crate::browser::{Browser, JavaScript, Look};
use crate::harness::time::wait_for;
use crate::harness::{PATIENCE, Sidecar, say};
use crate::{have_three_phases, three_phases};

const SCREEN: (u32, u32) = (1280, 900);
const PHONE: (u32, u32) = (500, 1200);
const DARK: &str = "--blink-settings=preferredColorScheme=0";

/// Takes a screenshot, and prints where it is.
fn keep(browser: &Browser, sidecar: &Sidecar, name: &str, size: (u32, u32), extra: &[&str]) -> Vec<u8> {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("page");
    fs::create_dir_all(&directory).expect("a directory");
    let file = directory.join(format!("{name}.png"));
    // A file of an earlier run proves nothing.
    let _ = fs::remove_file(&file);
    let url = format!("http://{}/", sidecar.spec().admin_listen());
    browser.open(&url, size, JavaScript::Off, extra, &Look::Screenshot(&file));
    let picture = fs::read(&file).expect("a screenshot");
    assert!(picture.starts_with(b"\x89PNG"), "{name} is no picture");
    let side = |at: usize| u32::from_be_bytes(picture[at..at + 4].try_into().expect("four octets"));
    assert_eq!((side(16), side(20)), size, "{name}");
    say(format!("screenshot: {}", file.display()));
    picture
}

fn dom(browser: &Browser, sidecar: &Sidecar, scripts: JavaScript) -> String {
    let url = format!("http://{}/", sidecar.spec().admin_listen());
    browser.open(&url, SCREEN, scripts, &[], &Look::Dom)
}

#[test]
fn a_browser_shows_a_good_page_with_and_without_javascript() {
    let Some(browser) = Browser::find() else { return };
    let sidecar = three_phases("<script>document.title='owned'</script>");
    let light = keep(&browser, &sidecar, "good", SCREEN, &[]);
    have_three_phases(&sidecar);
    let dark = keep(&browser, &sidecar, "good-dark", SCREEN, &[DARK]);
    assert_ne!(light, dark);
    have_three_phases(&sidecar);
    keep(&browser, &sidecar, "good-phone", PHONE, &[]);
    for scripts in [JavaScript::On, JavaScript::Off] {
        have_three_phases(&sidecar);
        let dom = dom(&browser, &sidecar, scripts);
        assert!(dom.contains("<title>✔ ready - Signet</title>"), "{dom}");
        for class in [
            "row pending",
            "row active",
            "row retiring",
            "row revoked",
            "row planned",
        ] {
            assert!(dom.contains(&format!("<div class=\"{class}\">")), "{class}: {dom}");
        }
        assert!(
            dom.contains("<caption>Keys of the ring that signs (local)</caption>"),
            "{dom}"
        );
        assert!(!dom.contains("<script"), "the reason became part of the page: {dom}");
    }
}

#[test]
fn a_browser_shows_a_red_page_with_what_to_do() {
    let Some(browser) = Browser::find() else { return };
    let sidecar = three_phases("a drill");
    fs::write(sidecar.spec().home().ring_file(), "").expect("written");
    wait_for("readiness to be lost", PATIENCE, || {
        (sidecar.readiness().0 == 503).then_some(())
    });
    keep(&browser, &sidecar, "red", SCREEN, &[]);
    let dom = dom(&browser, &sidecar, JavaScript::Off);
    for text in [
        "NOT READY",
        "The ring is too old to be safe",
        "What to do about ring",
        "RingTooOld",
        "Still works",
    ] {
        assert!(dom.contains(text), "no {text:?} in {dom}");
    }
}

#[test]
fn the_browser_without_javascript_runs_none_and_with_it_does() {
    let Some(browser) = Browser::find() else { return };
    let url = "data:text/html,<p>quiet</p><script>document.querySelector('p').textContent='a script ran'</script>";
    let shown = |scripts| browser.open(url, SCREEN, scripts, &[], &Look::Dom);
    assert!(shown(JavaScript::On).contains("<p>a script ran</p>"));
    assert!(shown(JavaScript::Off).contains("<p>quiet</p>"));
}
