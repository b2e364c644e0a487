//! `signet check`: the settings, then every permission, one by one.

use std::sync::Arc;

use serde::Serialize;

use crate::app::open_provider;
use crate::cli::{Failure, exit_code, table, to_json};
use crate::clock::SystemClock;
use crate::keeper::chain;
use crate::settings::Settings;

#[derive(Serialize)]
struct Report {
    ok: bool,
    settings: serde_json::Value,
    warnings: Vec<String>,
    checks: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    permission: String,
    granted: bool,
    needed_for: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

pub(super) async fn check(settings: &Settings, json: bool) -> Result<String, Failure> {
    let provider = open_provider(settings, Arc::new(SystemClock)).await?;
    let checks = provider.check().await;
    let worst = checks
        .iter()
        .find_map(|check| check.outcome.as_ref().err().map(|error| exit_code(error.kind)));
    let checks: Vec<Row> = checks
        .into_iter()
        .map(|check| Row {
            granted: check.outcome.is_ok(),
            problem: check.outcome.err().map(|error| chain(&error)),
            permission: check.permission,
            needed_for: check.needed_for,
        })
        .collect();
    let report = Report {
        ok: worst.is_none(),
        settings: settings.effective_json(),
        warnings: settings.warnings.clone(),
        checks,
    };
    let text = if json {
        to_json(&report)
    } else {
        as_text(settings, &report)
    };
    match worst {
        None => Ok(text),
        Some(code) => Err(Failure {
            text: "not everything is in order".to_owned(),
            answer: text,
            code,
        }),
    }
}

fn as_text(settings: &Settings, report: &Report) -> String {
    let mut rows = vec![vec![
        "PERMISSION".to_owned(),
        "GRANTED".to_owned(),
        "NEEDED FOR".to_owned(),
    ]];
    rows.extend(report.checks.iter().map(|row| {
        let granted = if row.granted { "yes" } else { "NO" };
        vec![row.permission.clone(), granted.to_owned(), row.needed_for.to_owned()]
    }));
    let mut text = settings.effective_table();
    text.push('\n');
    text.push_str(&table(&rows));
    for row in &report.checks {
        if let Some(problem) = &row.problem {
            text.push_str(&format!("\n{}: {problem}\n", row.permission));
        }
    }
    for warning in &report.warnings {
        text.push_str(&format!("\nwarning: {warning}\n"));
    }
    text
}
