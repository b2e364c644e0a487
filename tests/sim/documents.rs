//! Keeps `docs/simulation.md` equal to the measurements: the tests write its tables with
//! `SIGNET_SIM_WRITE=1`, and fail if it differs.

use std::fmt::Display;
use std::path::Path;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/simulation.md");

pub(crate) fn print(text: impl Display) {
    #[expect(clippy::print_stdout, reason = "the figures are what the test is run for")]
    {
        println!("{text}");
    }
}

/// The value of an environment variable that developers of these tests set.
pub(crate) fn switch(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "a developer's switch of a test")]
    std::env::var(name).ok()
}

/// Whether the page has this text between the markers with this name.
pub(crate) fn holds(name: &str, text: &str) {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let page = std::fs::read_to_string(Path::new(PAGE)).expect("docs/simulation.md");
    let start = page.find(&begin).expect("its mark") + begin.len();
    let length = page[start..].find(&end).expect("its other mark");
    if page[start..start + length] == *text {
        return;
    }
    if switch("SIGNET_SIM_WRITE").is_some() {
        let page = format!("{}{text}{}", &page[..start], &page[start + length..]);
        return std::fs::write(PAGE, page).expect("docs/simulation.md");
    }
    panic!("docs/simulation.md differs in `{name}`; SIGNET_SIM_WRITE=1 writes it. It should be:\n{text}");
}
