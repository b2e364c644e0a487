//! The TLS settings: `tls` for the listener, and `client_tls` for backends. No file is read here.

use std::path::PathBuf;

use rustls::{CipherSuite, NamedGroup};
use signet_edge::tls::{AuthorityFiles, Files, Options, Protocol};

use crate::file::json::{Node, Value};
use crate::file::{Place, Section};

/// How the certificates of backends are verified, and what the gateway shows of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTls {
    /// Whether certificates are not verified at all.
    pub is_unverified: bool,
    /// Authorities to trust.
    pub authorities: AuthorityFiles,
    /// Whether the authorities of the machine are trusted too.
    pub trusts_machine: bool,
    /// The gateway's own certificates, for backends that ask for one.
    pub certificates: Vec<Files>,
    /// The versions of TLS that are spoken.
    pub protocol: Protocol,
}

impl Default for ClientTls {
    fn default() -> Self {
        Self {
            is_unverified: false,
            authorities: AuthorityFiles {
                paths: Vec::new(),
                setting: "client_tls.ca_certs",
            },
            trusts_machine: true,
            certificates: Vec::new(),
            protocol: Protocol::default(),
        }
    }
}

/// Reads `tls` of the root. `None` if the listener speaks plain HTTP.
pub(super) fn listener(root: &Section<'_>) -> Option<Options> {
    let tls = root.section("tls")?;
    if tls.flag("disabled") {
        tls.warn("disabled", "tls is disabled: the listener speaks plain HTTP");
        return None;
    }
    let mut files = Vec::new();
    for pair in tls.sections("keys") {
        files.extend(pair_of(
            &pair,
            ("public_key", "tls.keys.public_key"),
            ("private_key", "tls.keys.private_key"),
        ));
    }
    if tls.has("public_key") || tls.has("private_key") {
        files.extend(pair_of(
            &tls,
            ("public_key", "tls.public_key"),
            ("private_key", "tls.private_key"),
        ));
    } else if tls.sections("keys").is_empty() {
        root.refuse(
            "tls",
            "there is no certificate; write the paths of PEM files into keys, as \"keys\": [{\"public_key\": …, \"private_key\": …}]",
        );
    }
    Some(Options {
        files,
        protocol: protocol(&tls),
        clients: clients(&tls),
    })
}

/// The authorities for the certificates of clients.
fn clients(tls: &Section<'_>) -> Option<AuthorityFiles> {
    let paths = paths(tls, "ca_certs");
    if !tls.flag("enable_mtls") {
        if !paths.is_empty() {
            tls.refuse(
                "ca_certs",
                "without enable_mtls, no client is asked for a certificate; set enable_mtls, or remove ca_certs",
            );
        }
        return None;
    }
    if paths.is_empty() {
        tls.refuse(
            "enable_mtls",
            "ca_certs is missing: write the files of the authorities that sign the certificates of your clients. The public \
             authorities of the machine sign for anybody, and public_key is not taken as an authority",
        );
    } else if !tls.flag("disable_system_ca_pool") {
        tls.warn(
            "enable_mtls",
            "certificates of clients are verified by ca_certs alone, as with disable_system_ca_pool: the public authorities of \
             the machine sign for anybody",
        );
    }
    Some(AuthorityFiles {
        paths,
        setting: "tls.ca_certs",
    })
}

/// Reads `client_tls` and the older `allow_insecure_connections` of the root.
pub(super) fn of_root(root: &Section<'_>) -> ClientTls {
    let mut tls = client(root).unwrap_or_default();
    if root.flag("allow_insecure_connections") {
        warn_unverified(root, "allow_insecure_connections");
        tls.is_unverified = true;
    }
    tls
}

/// Reads `client_tls` of the root, or of the namespace `backend/http/client`.
pub(super) fn client(section: &Section<'_>) -> Option<ClientTls> {
    let tls = section.section("client_tls")?;
    let is_unverified = tls.flag("allow_insecure_connections");
    if is_unverified {
        warn_unverified(&tls, "allow_insecure_connections");
    }
    let mut certificates = Vec::new();
    for pair in tls.sections("client_certs") {
        certificates.extend(pair_of(
            &pair,
            ("certificate", "client_tls.client_certs.certificate"),
            ("private_key", "client_tls.client_certs.private_key"),
        ));
    }
    let authorities = AuthorityFiles {
        paths: paths(&tls, "ca_certs"),
        setting: "client_tls.ca_certs",
    };
    let trusts_machine = !tls.flag("disable_system_ca_pool");
    if !trusts_machine && authorities.paths.is_empty() && !is_unverified {
        tls.refuse(
            "disable_system_ca_pool",
            "no authority is left that could have signed the certificate of a backend; write ca_certs, or remove the key",
        );
    }
    Some(ClientTls {
        is_unverified,
        authorities,
        trusts_machine,
        certificates,
        protocol: protocol(&tls),
    })
}

fn warn_unverified(section: &Section<'_>, key: &str) {
    section.warn(
        key,
        "the certificates of backends are not verified: anybody on the way to them can read and change what passes. Name their \
         authority in client_tls.ca_certs instead",
    );
}

/// The files of a certificate and its key, which need each other. Each key has the name of its setting beside it.
fn pair_of(
    section: &Section<'_>,
    (certificate, certificate_setting): (&str, &'static str),
    (key, key_setting): (&str, &'static str),
) -> Option<Files> {
    let path = |name: &str| {
        let path = section.text(name).filter(|path| !path.is_empty());
        if path.is_none() {
            section.refuse(name, format!("{name} is missing; write the path of a file in PEM"));
        }
        path.map(PathBuf::from)
    };
    let (certificate, key) = (path(certificate), path(key));
    Some(Files {
        certificate: certificate?,
        certificate_setting,
        key: key?,
        key_setting,
    })
}

fn paths(section: &Section<'_>, key: &str) -> Vec<PathBuf> {
    let texts = section.texts(key);
    texts.iter().map(|text| PathBuf::from(text.value)).collect()
}

/// Reads the versions, the cipher suites and the curves. As in KrakenD, TLS 1.2 is spoken only if `min_version` says so.
fn protocol(tls: &Section<'_>) -> Protocol {
    let (least, most) = (version(tls, "min_version"), version(tls, "max_version"));
    if least > most {
        tls.refuse(
            "max_version",
            "no version is left: min_version is TLS13 unless the file says otherwise; write \"min_version\": \"TLS12\"",
        );
    }
    let suites = suites(tls);
    let has = |suites: &[CipherSuite], is_of_13: bool| suites.iter().any(|suite| is_suite_of_13(*suite) == is_of_13);
    let protocol = Protocol {
        tls12: least == 12 && (suites.is_empty() || has(&suites, false)),
        tls13: most == 13,
        suites: match !suites.is_empty() && !has(&suites, true) {
            // The list is that of TLS 1.2, and all suites of TLS 1.3 are good.
            true => suites.into_iter().chain(SUITES_OF_13).collect(),
            false => suites,
        },
        groups: groups(tls),
    };
    if least <= most && !protocol.tls12 && !protocol.tls13 {
        tls.refuse(
            "cipher_suites",
            "no suite of TLS 1.2 is listed, and max_version is TLS12",
        );
    }
    protocol
}

fn version(tls: &Section<'_>, key: &str) -> u8 {
    match tls.text(key) {
        None | Some("TLS13") => 13,
        Some("TLS12") => 12,
        Some(old @ ("SSL3.0" | "TLS10" | "TLS11")) => {
            tls.refuse(
                key,
                format!("{old} is broken and is not spoken here (RFC 8996); write TLS12 or TLS13"),
            );
            13
        }
        Some(other) => {
            tls.refuse(key, format!("{other:?} is not one of TLS12, TLS13"));
            13
        }
    }
}

const SUITES_OF_13: [CipherSuite; 3] = [
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS13_AES_256_GCM_SHA384,
    CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
];

fn is_suite_of_13(suite: CipherSuite) -> bool {
    SUITES_OF_13.contains(&suite)
}

/// The suites that are spoken, by the names of the registry of IANA.
const SUITES: [(&str, CipherSuite); 9] = [
    ("TLS_AES_128_GCM_SHA256", CipherSuite::TLS13_AES_128_GCM_SHA256),
    ("TLS_AES_256_GCM_SHA384", CipherSuite::TLS13_AES_256_GCM_SHA384),
    (
        "TLS_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
];

/// Reads `cipher_suites`: numbers of IANA's registry, as KrakenD has them, or names.
fn suites(tls: &Section<'_>) -> Vec<CipherSuite> {
    let mut suites = Vec::new();
    for (item, place) in items(tls, "cipher_suites") {
        let found = SUITES.iter().find(|(name, suite)| match &item.value {
            Value::Text(text) => text == name,
            Value::Number(number) => *number == u16::from(*suite).to_string(),
            _ => false,
        });
        match found {
            Some((_, suite)) => suites.push(*suite),
            None => {
                let known: Vec<String> = SUITES
                    .iter()
                    .map(|(name, suite)| format!("{} {name}", u16::from(*suite)))
                    .collect();
                tls.refuse_at(
                    &place,
                    format!(
                        "{item} is no cipher suite that is spoken here; remove it. There are {}",
                        known.join(", ")
                    ),
                );
            }
        }
    }
    suites
}

/// Reads `curve_preferences`, in the numbers of IANA's registry.
fn groups(tls: &Section<'_>) -> Vec<NamedGroup> {
    let mut groups = Vec::new();
    let items = items(tls, "curve_preferences");
    for (item, place) in &items {
        match item.to_string().as_str() {
            "23" => groups.push(NamedGroup::secp256r1),
            "24" => groups.push(NamedGroup::secp384r1),
            "29" => groups.push(NamedGroup::X25519),
            "4588" => groups.push(NamedGroup::X25519MLKEM768),
            // Others are left to choose from, and each is as good.
            "25" if items.len() > 1 => tls.warn("curve_preferences", "25 (P-521) is not spoken here; the others are"),
            other => tls.refuse_at(
                place,
                format!(
                    "{other} is no curve that is spoken here; there are 23 (P-256), 24 (P-384), 29 (X25519) and 4588 \
                     (X25519MLKEM768)"
                ),
            ),
        }
    }
    groups
}

/// The items of an array, with their places.
fn items<'a>(section: &Section<'a>, key: &str) -> Vec<(&'a Node, Place)> {
    let place = section.at(key);
    match section.node(key).map(|node| &node.value) {
        Some(Value::Array(items)) => items
            .iter()
            .enumerate()
            .map(|(index, item)| (item, place.item(index, item.line)))
            .collect(),
        Some(_) => {
            section.refuse(key, "this must be an array");
            Vec::new()
        }
        None => Vec::new(),
    }
}
