//! The trial of `check -t`: whether this machine has what a file names.
//!
//! A port that is in use and a file that cannot be read are problems. A backend or an issuer that does not answer is a
//! warning, because a file is often checked where they cannot be reached.

use std::time::Duration;

use futures_util::future::join_all;
use signet_base::chain;
use signet_edge::tls::Options;
use signet_issuers::{TrustedIssuer, try_once};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::file::{Place, Report};
use crate::keys;
use crate::plan::Plan;
use crate::plan::hosts::Host;
use crate::run;
use crate::upstream::Pools;

/// How long an issuer or a backend may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Tries everything that a plan needs, and adds what fails to the report.
pub fn run(plan: &Plan, report: &mut Report) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(tried(plan, report)),
        Err(error) => report.lacks(Place::default(), format!("the runtime cannot be created: {error}")),
    }
}

async fn tried(plan: &Plan, report: &mut Report) {
    if let Err(error) = run::listen(plan.listen).await {
        report.lacks(Place::default(), chain(&error));
    }
    if let Some(Err(error)) = plan.tls.as_ref().map(Options::read) {
        report.lacks(Place::default(), chain(&error));
    }
    if let Err(error) = Pools::new(plan.connections, &plan.clients) {
        report.lacks(Place::default(), chain(&error));
    }
    let issuers = keys::places(&plan.validators);
    for terms in &issuers {
        if let Some(file) = &terms.ca_file
            && let Err(error) = std::fs::read(file)
        {
            let why = format!("jwk_local_ca {} cannot be read: {error}", file.display());
            report.lacks(Place::default(), why);
        }
    }
    for warning in join_all(issuers.iter().map(issuer)).await.into_iter().flatten() {
        report.warn(Place::default(), warning);
    }
    let mut hosts: Vec<(&Host, Place)> = Vec::new();
    for endpoint in &plan.endpoints {
        for host in endpoint.backends.iter().flat_map(|backend| backend.hosts.iter()) {
            if !hosts.iter().any(|(known, _)| *known == host) {
                hosts.push((host, endpoint.place.clone()));
            }
        }
    }
    let connected = join_all(hosts.iter().map(|(host, _)| connect(host))).await;
    for ((host, place), result) in hosts.into_iter().zip(connected) {
        if let Err(why) = result {
            report.warn(place, format!("the backend {host} cannot be reached from here: {why}"));
        }
    }
}

/// Fetches the keys of an issuer once. The warning, if that fails.
async fn issuer(terms: &TrustedIssuer) -> Option<String> {
    let why = match timeout(PATIENCE, try_once(terms)).await {
        Ok(Ok(_)) => return None,
        Ok(Err(error)) => chain(&*error),
        Err(_) => late(),
    };
    Some(format!(
        "the keys of {} cannot be fetched from here: {why}",
        terms.issuer
    ))
}

async fn connect(host: &Host) -> Result<(), String> {
    let port = if host.scheme == http::uri::Scheme::HTTPS {
        443
    } else {
        80
    };
    let port = host.authority.port_u16().unwrap_or(port);
    let name = host.authority.host().trim_start_matches('[').trim_end_matches(']');
    match timeout(PATIENCE, TcpStream::connect((name, port))).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(late()),
    }
}

fn late() -> String {
    format!("no answer within {}", humantime::format_duration(PATIENCE))
}
