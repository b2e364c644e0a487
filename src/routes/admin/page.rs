//! The status page, for somebody who has five seconds: whether all is well, what to do if not, and what each key does.
//!
//! It has no script and loads nothing. All foreign text is escaped, because anybody who may revoke keys can write
//! the reason of a revocation.

use std::fmt::Write as _;

use signet_base::{brief, rfc3339};
use signet_core::{Phase, Policy, Timestamp};

use super::advice::advice;
use super::combined::{still_works, what_next};
use super::html::escape;
use super::picture;
use crate::conditions::{Condition, Effect, Report, State};
use crate::ring_view::{KeyView, RingView};
use crate::timeline::Timeline;

const STYLE: &str = include_str!("style.css");
/// How many coming events are shown.
const MOST_COMING: usize = 3;
/// How many expired keys are shown; `signet keys list` shows all.
const MOST_EXPIRED: usize = 3;

/// What the page shows.
#[derive(Debug)]
pub(super) struct Page<'a> {
    /// The provider of the signing ring.
    pub(super) provider: &'static str,
    pub(super) ring: &'a RingView,
    pub(super) report: &'a Report,
    pub(super) policy: &'a Policy,
    pub(super) now: Timestamp,
}

impl Page<'_> {
    pub(super) fn to_html(&self) -> String {
        let mut html = String::with_capacity(16 * 1024);
        let title = match self.report.effect() {
            Effect::LostHere => "✖ NOT READY",
            Effect::LostEverywhere => "✖ ready, but requests fail",
            Effect::MayBeLost => "! ready, but requests may fail",
            Effect::AtRisk => "! ready, with a warning",
            Effect::Good => "✔ ready",
        };
        let _ = write!(
            html,
            "<!doctype html><html lang=en><head><meta charset=utf-8>\
             <meta name=viewport content='width=device-width,initial-scale=1'><title>{title} - Signet</title>\
             <style>{STYLE}</style></head><body>"
        );
        self.banner(&mut html);
        html.push_str("<main>");
        self.tiles(&mut html);
        self.what_to_do(&mut html);
        if self.is_ring_known() {
            self.rings(&mut html);
        }
        let _ = write!(
            html,
            "</main><footer><p>Issuer <code>{}</code> · new keys are for {} · signet {}</p><p>As of {}; reload for newer. \
             Machines read <a href='readyz'>/readyz</a> and <a href='metrics'>/metrics</a>. Instants are in UTC.</p></footer>\
             </body></html>",
            escape(&self.ring.issuer),
            escape(self.ring.algorithm),
            env!("CARGO_PKG_VERSION"),
            rfc3339(self.now)
        );
        html
    }

    fn is_ring_known(&self) -> bool {
        let mut conditions = self.report.conditions.iter();
        !conditions.any(|condition| condition.state == State::Starting)
    }

    /// The keys: coming events, the timeline and the tables.
    fn rings(&self, html: &mut String) {
        let timeline = Timeline::of_rings(self.provider, &self.ring.keys, &self.ring.also, self.policy, self.now);
        html.push_str("<h2>Keys</h2>");
        self.what_comes(html, &timeline);
        html.push_str(&picture::draw(&timeline));
        let caption = format!("Keys of the ring that signs ({})", self.provider);
        self.keys(html, &caption, &self.ring.keys);
        for also in &self.ring.also {
            let caption = format!("Also published and accepted: the keys of {}", also.provider);
            self.keys(html, &caption, &also.keys);
        }
        self.revoked(html);
    }

    /// The overall state, since when, and what it means.
    fn banner(&self, html: &mut String) {
        let effect = self.report.effect();
        let (word, since) = match effect {
            Effect::LostHere => ("NOT READY", self.report.since),
            Effect::LostEverywhere => ("Ready, but requests fail", self.troubled_since(effect)),
            Effect::MayBeLost => ("Ready, but requests may fail", self.troubled_since(effect)),
            Effect::AtRisk => ("Ready, with a warning", self.troubled_since(effect)),
            Effect::Good => ("Ready", self.report.since),
        };
        let class = class(effect);
        let _ = write!(
            html,
            "<header class='banner {class}'><h1>{} {word} <small>for {}</small></h1><p>",
            sign(class),
            brief(self.now.since(since))
        );
        let _ = match effect {
            Effect::LostHere => write!(
                html,
                "<b>{}</b>, since {}. {}. See what to do below.",
                self.headlines(Effect::LostEverywhere),
                rfc3339(since),
                self.still_good()
            ),
            Effect::LostEverywhere => write!(
                html,
                "<b>{}</b>, since {}. {}. This replica stays ready, because other replicas most likely have the same \
                 problem: compare their /readyz. See what to do below.",
                self.headlines(effect),
                rfc3339(since),
                self.still_good()
            ),
            Effect::MayBeLost => write!(
                html,
                "<b>{}</b>, since {}. Requests may fail because of it, here or elsewhere. See what to do below.",
                self.headlines(effect),
                rfc3339(since)
            ),
            Effect::AtRisk => write!(
                html,
                "<b>{}</b>, since {}. No request fails here because of it. See what to do below.",
                self.headlines(effect),
                rfc3339(since)
            ),
            Effect::Good => write!(
                html,
                "{}, and tokens are validated. There is nothing to do.",
                match self.active() {
                    Some(key) => format!("Key <code>{}</code> signs", escape(&crate::timeline::short(&key.kid))),
                    None => "All conditions are good".to_owned(),
                }
            ),
        };
        html.push_str("</p></header>");
    }

    /// Since when any condition has been this bad.
    fn troubled_since(&self, effect: Effect) -> Timestamp {
        let as_bad = |condition: &&Condition| condition.state.effect() >= effect;
        let troubled = self.report.conditions.iter().filter(as_bad);
        troubled.map(Condition::troubled_since).min().unwrap_or(self.now)
    }

    /// The headlines of all conditions that are this bad or worse.
    fn headlines(&self, effect: Effect) -> String {
        let as_bad = |condition: &&Condition| condition.state.effect() >= effect;
        let conditions = self.report.conditions.iter().filter(as_bad);
        let mut headlines: Vec<&str> = conditions
            .filter_map(|condition| advice(condition.state).map(|advice| advice.headline))
            .collect();
        headlines.dedup();
        headlines.join("; ")
    }

    fn still_good(&self) -> String {
        let is_good = |condition: &&Condition| condition.state.effect() == Effect::Good;
        let good = self.report.conditions.iter().filter(is_good);
        let mut names: Vec<&str> = good.map(|condition| condition.name).collect();
        names.dedup();
        match names.is_empty() {
            true if !self.is_ring_known() => "Nothing else is known yet".to_owned(),
            true => "Nothing else works".to_owned(),
            false => format!("Still good: {}", names.join(", ")),
        }
    }

    fn active(&self) -> Option<&KeyView> {
        self.ring.keys.iter().find(|key| key.phase == Phase::Active)
    }

    fn tiles(&self, html: &mut String) {
        html.push_str("<ul class=tiles aria-label='Conditions of readiness'>");
        for condition in &self.report.conditions {
            let effect = condition.state.effect();
            let class = class(effect);
            let since = condition.troubled_since();
            let _ = write!(
                html,
                "<li class={class}><strong>{} {}: {}</strong><span>since {} ({})</span>",
                sign(class),
                condition.name,
                match effect {
                    Effect::LostHere | Effect::LostEverywhere => "lost",
                    Effect::MayBeLost | Effect::AtRisk => "warning",
                    Effect::Good => "good",
                },
                rfc3339(since),
                brief(self.now.since(since)),
            );
            if effect == Effect::Good {
                let _ = write!(html, "<span>{}</span>", escape(&condition.detail));
            }
            html.push_str("</li>");
        }
        html.push_str("</ul>");
    }

    /// The advice, for lost functions first.
    fn what_to_do(&self, html: &mut String) {
        let mut conditions: Vec<&Condition> = self.report.conditions.iter().collect();
        conditions.sort_by_key(|condition| std::cmp::Reverse(condition.state.effect()));
        for condition in conditions {
            let Some(advice) = advice(condition.state) else {
                continue;
            };
            let _ = write!(
                html,
                "<section class='todo {}'><h2>What to do about {}: {}</h2><dl><dt>What it means</dt><dd>{}</dd>\
                 <dt>Why</dt><dd>{}</dd><dt>Still works</dt><dd>{}</dd><dt>Do next</dt><dd class=next>{}</dd>\
                 <dt>More</dt><dd>docs/operations.md, section “{}”</dd></dl></section>",
                class(condition.state.effect()),
                condition.name,
                escape(advice.headline),
                escape(advice.means),
                escape(&condition.detail),
                escape(&still_works(self.report, &advice)),
                escape(&what_next(self.report, condition, &advice)),
                advice.section
            );
        }
    }

    fn what_comes(&self, html: &mut String, timeline: &Timeline) {
        let mut coming = timeline.coming.iter().take(MOST_COMING);
        let Some(first) = coming.next() else {
            html.push_str("<p class=soon>No change is planned.</p>");
            return;
        };
        let _ = write!(
            html,
            "<p class=soon>Next: <b>{}, {}</b> <span class=dim>({})</span></p>",
            timeline.when(first),
            escape(&first.what),
            rfc3339(first.at)
        );
        let later: Vec<String> = coming
            .map(|coming| format!("{}, {}", timeline.when(coming), escape(&coming.what)))
            .collect();
        if !later.is_empty() {
            let _ = write!(html, "<p class=dim>Then: {}.</p>", later.join("; "));
        }
    }

    fn keys(&self, html: &mut String, caption: &str, keys: &[KeyView]) {
        let _ = write!(
            html,
            "<div class=scroll><table><caption>{}</caption><thead><tr><th scope=col>Phase</th><th scope=col>Key</th>\
             <th scope=col>Algorithm</th><th scope=col>Created</th><th scope=col>Signs from</th><th scope=col>Signs until</th>\
             <th scope=col>Leaves the JWKS</th></tr></thead><tbody>",
            escape(caption)
        );
        let expired = keys.iter().filter(|key| key.phase == Phase::Expired).count();
        let left_out = expired.saturating_sub(MOST_EXPIRED);
        // The oldest keys come first.
        let first = keys.iter().filter(|key| key.phase == Phase::Expired).take(left_out);
        let hidden: Vec<&str> = first.map(|key| key.kid.as_str()).collect();
        for key in keys.iter().filter(|key| !hidden.contains(&key.kid.as_str())) {
            let phase = key.phase.as_str();
            let _ = write!(
                html,
                "<tr class={phase}><td>{phase}</td><th scope=row><code>{}</code></th><td>{}</td>{}{}{}{}</tr>",
                escape(&key.kid),
                escape(key.alg),
                self.instant(Some(&key.created_at)),
                self.instant(key.activates_at.as_ref()),
                self.instant(key.superseded_at.as_ref()),
                self.instant(key.expires_at.as_ref()),
            );
        }
        html.push_str("</tbody></table></div>");
        if left_out > 0 {
            let _ = write!(
                html,
                "<p class=dim>{left_out} expired keys before these are left out; signet keys list has them.</p>"
            );
        }
    }

    /// A table cell with an instant and its distance from now.
    fn instant(&self, at: Option<&String>) -> String {
        let Some(at) = at else { return "<td>-</td>".to_owned() };
        let when = crate::ring_view::instant(at);
        let distance = match when > self.now {
            true => format!("in {}", brief(when.since(self.now))),
            false => format!("{} ago", brief(self.now.since(when))),
        };
        format!("<td>{}<small>{distance}</small></td>", escape(at))
    }

    fn revoked(&self, html: &mut String) {
        let also = self.ring.also.iter().flat_map(|also| &also.keys);
        let revoked = self.ring.keys.iter().chain(also);
        let revoked: Vec<_> = revoked.filter_map(|key| Some((key, key.revoked.as_ref()?))).collect();
        if revoked.is_empty() {
            return;
        }
        html.push_str(
            "<div class=scroll><table><caption>Revoked keys: neither they nor their tokens are accepted</caption><thead><tr>\
             <th scope=col>Key</th><th scope=col>Revoked</th><th scope=col>Reason</th></tr></thead><tbody>",
        );
        for (key, revocation) in revoked {
            // `bdi` keeps a text with right-to-left characters from rearranging the text around it.
            let _ = write!(
                html,
                "<tr><th scope=row><code>{}</code></th>{}<td><bdi>{}</bdi></td></tr>",
                escape(&key.kid),
                self.instant(Some(&revocation.at)),
                escape(&revocation.reason)
            );
        }
        html.push_str("</tbody></table></div>");
    }
}

fn class(effect: Effect) -> &'static str {
    match effect {
        Effect::LostHere | Effect::LostEverywhere => "bad",
        Effect::MayBeLost | Effect::AtRisk => "warn",
        Effect::Good => "good",
    }
}

fn sign(class: &str) -> &'static str {
    match class {
        "bad" => "✖",
        "warn" => "!",
        _ => "✔",
    }
}

#[cfg(test)]
mod tests;
