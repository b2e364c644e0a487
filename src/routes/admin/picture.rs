//! The timeline as HTML: boxes that are placed by their share of the axis. It needs no script and no image.

use std::fmt::Write as _;

use signet_base::rfc3339;
use signet_core::{Phase, Timestamp};

use super::html::escape;
use crate::timeline::{Bar, Stretch, Timeline};

/// The minimum share of the axis that a bar needs to hold a word.
const ROOM_FOR_A_WORD: f64 = 0.09;

/// Draws the bars, the axis and the mark for now.
pub(super) fn draw(timeline: &Timeline) -> String {
    let mut html = String::from(
        "<figure><div class=picture role=img aria-label='Timeline: each key as a bar of its phases. The table of keys below \
         says the same.'>",
    );
    let _ = write!(
        html,
        "<div class=row><div></div><div class='track flag'><b style='left:{}'>now</b></div></div>",
        percent(timeline, timeline.now)
    );
    for lane in &timeline.lanes {
        if let Some(provider) = lane.provider {
            let _ = write!(html, "<div class=lane>{}</div>", escape(provider));
        }
        for bar in &lane.bars {
            row(&mut html, timeline, bar);
        }
    }
    html.push_str("<div class=row><div></div><div class='track axis'>");
    for (at, name) in timeline.ticks() {
        let position = timeline.position(at);
        // A name at the very edge would be cut off.
        if (0.03..=0.97).contains(&position) {
            let _ = write!(
                html,
                "<span style='left:{}'>{}</span>",
                percent(timeline, at),
                escape(&name)
            );
        }
    }
    html.push_str("</div></div></div><figcaption>");
    for (class, words) in [
        ("pending", "pending: published, does not sign yet"),
        ("active", "active: signs"),
        ("retiring", "retiring: verifies only"),
    ] {
        let _ = write!(html, "<span><i class='key {class}'></i> {words}</span>");
    }
    let is_revoked = |bar: &Bar| bar.revoked_at.is_some();
    if timeline.lanes.iter().flat_map(|lane| &lane.bars).any(is_revoked) {
        html.push_str("<span><b class=cross>✖</b> revoked: neither signs nor verifies</span>");
    }
    html.push_str("</figcaption></figure>");
    html
}

fn row(html: &mut String, timeline: &Timeline, bar: &Bar) {
    let (class, word) = match bar.phase {
        Some(phase) => (phase.as_str(), phase.as_str()),
        None => ("planned", "planned"),
    };
    let _ = write!(
        html,
        "<div class='row {class}'><div class=name><code>{}</code> <span>{word}</span></div><div class=track>",
        escape(&bar.name)
    );
    for stretch in &bar.stretches {
        draw_stretch(html, timeline, stretch);
    }
    if let Some(at) = bar.revoked_at {
        let _ = write!(html, "<b class=cross style='left:{}'>✖</b>", percent(timeline, at));
    }
    let _ = write!(
        html,
        "<i class=now style='left:{}'></i></div></div>",
        percent(timeline, timeline.now)
    );
}

fn draw_stretch(html: &mut String, timeline: &Timeline, stretch: &Stretch) {
    let share = timeline.position(stretch.to) - timeline.position(stretch.from);
    let word = match stretch.phase {
        Phase::Active => "signs",
        phase => phase.as_str(),
    };
    let _ = write!(
        html,
        "<span class='stretch {}' style='left:{};width:{:.2}%' title='{}, {} to {}'>{}</span>",
        stretch.phase.as_str(),
        percent(timeline, stretch.from),
        share * 100.0,
        stretch.phase.as_str(),
        rfc3339(stretch.from),
        rfc3339(stretch.to),
        if share < ROOM_FOR_A_WORD { "" } else { word }
    );
}

fn percent(timeline: &Timeline, at: Timestamp) -> String {
    format!("{:.2}%", timeline.position(at) * 100.0)
}
