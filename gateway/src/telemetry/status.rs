//! The statuses that metrics tell apart. A backend can send any status, but a metric must have few series.

/// How many statuses are told apart.
pub(super) const COUNT: usize = KNOWN.len() + CLASSES.len();

/// The statuses with a series of their own. 0 is a request without an answer, as in KrakenD. 499 is a client that left
/// before the answer, as in nginx.
const KNOWN: [(u16, &str); 36] = [
    (0, "0"),
    (101, "101"),
    (200, "200"),
    (201, "201"),
    (202, "202"),
    (204, "204"),
    (206, "206"),
    (301, "301"),
    (302, "302"),
    (303, "303"),
    (304, "304"),
    (307, "307"),
    (308, "308"),
    (400, "400"),
    (401, "401"),
    (403, "403"),
    (404, "404"),
    (405, "405"),
    (406, "406"),
    (408, "408"),
    (409, "409"),
    (410, "410"),
    (411, "411"),
    (412, "412"),
    (413, "413"),
    (415, "415"),
    (416, "416"),
    (422, "422"),
    (429, "429"),
    (431, "431"),
    (499, "499"),
    (500, "500"),
    (501, "501"),
    (502, "502"),
    (503, "503"),
    (504, "504"),
];

/// The labels of all other statuses, by their first digit.
pub(super) const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"];

/// The status of a client that left before its answer.
pub(super) const LEFT: u16 = 499;

/// The number of the series of each status.
static NUMBERS: [u8; 600] = numbers();

const fn numbers() -> [u8; 600] {
    let mut numbers = [0; 600];
    let mut status = 0;
    while status < numbers.len() {
        numbers[status] = (KNOWN.len() + class(status as u16)) as u8;
        status += 1;
    }
    let mut known = 0;
    while known < KNOWN.len() {
        numbers[KNOWN[known].0 as usize] = known as u8;
        known += 1;
    }
    numbers
}

/// The number of a status's class.
pub(super) const fn class(status: u16) -> usize {
    match status {
        100..=599 => (status / 100) as usize - 1,
        _ => CLASSES.len() - 1,
    }
}

/// The number of a status's series.
pub(super) fn number(status: u16) -> usize {
    let number = NUMBERS.get(usize::from(status)).copied();
    number.map_or(COUNT - 1, usize::from)
}

/// The label of a series.
pub(super) fn label(number: usize) -> &'static str {
    match KNOWN.get(number) {
        Some((_, label)) => label,
        None => CLASSES.get(number - KNOWN.len()).copied().unwrap_or("other"),
    }
}

/// The number of the class of a series.
pub(super) fn class_of(number: usize) -> usize {
    match KNOWN.get(number) {
        Some((status, _)) => class(*status),
        None => number - KNOWN.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_a_series_and_there_are_few_of_them() {
        for (status, expected) in [
            (0, "0"),
            (200, "200"),
            (299, "2xx"),
            (418, "4xx"),
            (499, "499"),
            (599, "5xx"),
            (600, "other"),
            (999, "other"),
            (1, "other"),
            (103, "1xx"),
        ] {
            assert_eq!(label(number(status)), expected, "{status}");
        }
        for status in 100..600 {
            assert!(number(status) < COUNT);
            assert_eq!(class_of(number(status)), class(status), "{status}");
        }
    }
}
