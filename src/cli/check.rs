//! `signet check`: the settings, then every permission, one by one.

use std::sync::Arc;

use serde::Serialize;
use signet_api::{ErrorKind, chain};

use crate::app;
use crate::cli::{Failure, table, to_json};
use crate::clock::SystemClock;
use crate::fits::{bears, fits};
use crate::issuers::{self, NoClient};
use crate::kinds::exit_code;
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
    provider: &'static str,
    permission: String,
    granted: bool,
    needed_for: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    /// The policy text that grants what is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<String>,
}

pub(super) async fn check(settings: &Settings, json: bool) -> Result<String, Failure> {
    let (mut checks, mut worst) = (Vec::new(), None);
    for (index, origin) in settings.origins().enumerate() {
        let provider = app::open_guarded(settings, origin, Arc::new(SystemClock), Arc::default()).await?;
        let capabilities = provider.capabilities();
        for check in provider.check().await {
            let failed = check.outcome.err();
            if let Some(error) = &failed {
                worst.get_or_insert(exit_code(error.kind));
            }
            checks.push(Row {
                provider: capabilities.provider,
                granted: failed.is_none(),
                grant: check.grant.filter(|_| failed.is_some()),
                problem: failed.map(|error| chain(&error)),
                permission: check.permission,
                needed_for: check.needed_for,
            });
        }
        // The first is the one that signs.
        match index {
            0 => fits(settings, &capabilities)?,
            _ => bears(settings, &capabilities)?,
        }
    }
    for terms in &settings.trusted_issuers {
        let failed = issuers::try_once(terms).await.err();
        if let Some(error) = &failed {
            // As `serve` ends for the same reason.
            let kind = match error.is::<NoClient>() {
                true => ErrorKind::KeyUnusable,
                false => ErrorKind::Unavailable,
            };
            worst.get_or_insert(exit_code(kind));
        }
        let problem = failed.map(|error| chain(&*error));
        checks.push(Row {
            provider: "trusted issuer",
            permission: format!("keys of {}", terms.issuer),
            granted: problem.is_none(),
            needed_for: "verifying its tokens",
            problem,
            grant: None,
        });
    }
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
    let mut rows = vec![
        ["PROVIDER", "PERMISSION", "GRANTED", "NEEDED FOR"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(report.checks.iter().map(|row| {
        let granted = if row.granted { "yes" } else { "NO" };
        vec![
            row.provider.to_owned(),
            row.permission.clone(),
            granted.to_owned(),
            row.needed_for.to_owned(),
        ]
    }));
    let mut text = settings.effective_table();
    text.push('\n');
    text.push_str(&table(&rows));
    for row in &report.checks {
        if let Some(problem) = &row.problem {
            text.push_str(&format!("\n{}: {problem}\n", row.permission));
            if let Some(grant) = &row.grant {
                text.push_str(&format!("What grants it:\n{}\n", grant.trim_end()));
            }
        }
    }
    for warning in &report.warnings {
        text.push_str(&format!("\nwarning: {warning}\n"));
    }
    text
}
