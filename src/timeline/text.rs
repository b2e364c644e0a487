//! The picture for a terminal of 80 columns. Phases have different characters, so it is readable without colour.

use signet_base::rfc3339;
use signet_core::{Phase, Timestamp};

use super::{Bar, Timeline};

/// The width of the narrowest common terminal.
const WIDTH: usize = 80;
/// How many events are listed.
const MOST_COMING: usize = 5;
/// The distance between a label and its bar.
const GAP: usize = 2;

const PENDING: char = '·';
const ACTIVE: char = '█';
const RETIRING: char = '▒';
const REVOKED: char = 'x';
const NOW: char = '│';

/// Draws bars, axis, legend and coming events. `instants` says whether the axis shows real times;
/// that of a policy does not.
#[must_use]
pub fn draw(timeline: &Timeline, instants: bool) -> String {
    let labels: Vec<Vec<String>> = timeline
        .lanes
        .iter()
        .map(|lane| lane.bars.iter().map(|bar| label(bar, instants)).collect())
        .collect();
    let margin = labels
        .iter()
        .flatten()
        .map(|label| label.chars().count())
        .max()
        .unwrap_or(0)
        + GAP;
    let width = WIDTH - margin;
    let now = column(timeline, timeline.now, width);

    let mut lines = vec![" ".repeat(margin) + &flag(now, width)];
    for (lane, labels) in timeline.lanes.iter().zip(&labels) {
        if let Some(provider) = lane.provider {
            lines.push(provider.to_owned());
        }
        for (bar, label) in lane.bars.iter().zip(labels) {
            let cells: String = cells(timeline, bar, width, now).into_iter().collect();
            lines.push(format!("{label:<margin$}{cells}"));
        }
    }
    let (axis, names) = axis(timeline, width, now);
    lines.push(" ".repeat(margin) + &axis);
    lines.push(" ".repeat(margin) + &names);
    lines.push(String::new());
    lines.push(format!(
        "{PENDING} pending: published, not signing   {ACTIVE} active: signs   {RETIRING} retiring: verifies only"
    ));
    if timeline
        .lanes
        .iter()
        .flat_map(|lane| &lane.bars)
        .any(|bar| bar.revoked_at.is_some())
    {
        lines.push(format!("{REVOKED} revoked: neither signs nor verifies"));
    }
    lines.push(String::new());
    lines.extend(coming(timeline, instants));
    lines.iter().map(|line| line.trim_end().to_owned() + "\n").collect()
}

fn label(bar: &Bar, has_phases: bool) -> String {
    match bar.phase {
        _ if !has_phases => bar.name.clone(),
        Some(phase) => format!("{:<8} {}", phase.as_str(), bar.name),
        None => format!("{:<8} {}", "planned", bar.name),
    }
}

fn column(timeline: &Timeline, at: Timestamp, width: usize) -> usize {
    edge(timeline, at, width).min(width - 1)
}

/// The cell boundary at an instant.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of at most 80 columns"
)]
fn edge(timeline: &Timeline, at: Timestamp, width: usize) -> usize {
    (timeline.position(at) * width as f64).round() as usize
}

fn cells(timeline: &Timeline, bar: &Bar, width: usize, now: usize) -> Vec<char> {
    let mut cells = vec![' '; width];
    // Draw short phases last: a lead of an hour must be visible beside a period of a month.
    for phase in [Phase::Active, Phase::Pending, Phase::Retiring] {
        for stretch in bar.stretches.iter().filter(|stretch| stretch.phase == phase) {
            let from = column(timeline, stretch.from, width);
            let to = edge(timeline, stretch.to, width).max(from + 1);
            cells[from..to].fill(character(phase));
        }
    }
    if let Some(at) = bar.revoked_at.filter(|at| *at >= timeline.from && *at <= timeline.to) {
        cells[column(timeline, at, width)] = REVOKED;
    }
    // The mark may cut a long phase, but must not hide a short one.
    let is = |index: Option<usize>, cell| index.and_then(|index| cells.get(index)).is_none_or(|c| *c == cell);
    let here = cells[now];
    if here == ' ' || (is(now.checked_sub(1), here) && is(Some(now + 1), here)) {
        cells[now] = NOW;
    }
    cells
}

fn character(phase: Phase) -> char {
    match phase {
        Phase::Pending => PENDING,
        Phase::Active => ACTIVE,
        Phase::Retiring => RETIRING,
        Phase::Expired | Phase::Revoked => ' ',
    }
}

/// The text `▼ now` above the mark, or to its left if there is no room.
fn flag(now: usize, width: usize) -> String {
    match now + 5 <= width {
        true => format!("{:now$}▼ now", ""),
        false => format!("{:indent$}now ▼", "", indent = now.saturating_sub(4)),
    }
}

/// The axis, with as many names below it as fit.
fn axis(timeline: &Timeline, width: usize, now: usize) -> (String, String) {
    let mut line = vec!['─'; width];
    let mut names = vec![' '; width];
    line[now] = '▲';
    let mut write = |column: usize, name: &str| {
        let length = name.chars().count();
        let from = column.saturating_sub(length / 2).min(width - length);
        // Leave a blank on each side to separate the names.
        let around = from.saturating_sub(1)..(from + length + 1).min(width);
        let is_free = names[around].iter().all(|cell| *cell == ' ');
        if is_free {
            for (cell, c) in names[from..].iter_mut().zip(name.chars()) {
                *cell = c;
            }
        }
        is_free
    };
    write(now, "now");
    for (at, name) in timeline.ticks() {
        let column = column(timeline, at, width);
        if write(column, &name) {
            line[column] = '┬';
        }
    }
    (line.into_iter().collect(), names.into_iter().collect())
}

fn coming(timeline: &Timeline, instants: bool) -> Vec<String> {
    if timeline.coming.is_empty() {
        return vec!["No change is planned.".to_owned()];
    }
    let shown = timeline.coming.iter().take(MOST_COMING);
    let spans: Vec<String> = shown.clone().map(|coming| timeline.when(coming)).collect();
    let width = spans.iter().map(String::len).max().unwrap_or(0);
    let mut lines = vec!["What comes next:".to_owned()];
    lines.extend(shown.zip(&spans).map(|(coming, span)| match instants {
        true => format!("  {span:width$}  {}  {}", rfc3339(coming.at), coming.what),
        false => format!("  {span:width$}  {}", coming.what),
    }));
    lines
}
