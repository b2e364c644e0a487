use hyper_util::client::proxy::matcher::Matcher;

use super::*;

fn of(pairs: &[(&'static str, &str)]) -> Result<BTreeMap<&'static str, String>, Vec<Wrong>> {
    settled(|name| {
        let found = pairs.iter().find(|(set, _)| *set == name);
        found.map(|(_, value)| OsString::from(value))
    })
}

/// Whether clients use the proxy. All our clients and those of the SDKs use this matcher.
fn takes_a_proxy(no_proxy: &str, url: &str) -> bool {
    let settled = of(&[("HTTP_PROXY", "http://proxy.test:3128"), ("NO_PROXY", no_proxy)]).expect("good");
    let matcher = Matcher::builder()
        .all(settled["http_proxy"].clone())
        .no(settled["no_proxy"].clone())
        .build();
    matcher.intercept(&url.parse().expect("a URL")).is_some()
}

#[test]
fn both_spellings_say_the_same_capitals_first_and_white_space_is_no_part_of_it() {
    let settled = of(&[
        ("HTTPS_PROXY", " http://a.test:3128\r\n"),
        ("https_proxy", "http://b.test"),
        ("HTTP_PROXY", "\n"),
        ("http_proxy", "user:p%40ss@c.test:8080"),
    ])
    .expect("good");
    for (name, value) in [
        ("HTTPS_PROXY", "http://a.test:3128"),
        ("https_proxy", "http://a.test:3128"),
        ("HTTP_PROXY", "user:p%40ss@c.test:8080"),
        ("http_proxy", "user:p%40ss@c.test:8080"),
    ] {
        assert_eq!(settled[name], value, "{name}");
    }
    assert!(!settled.contains_key("ALL_PROXY"));
}

#[test]
fn what_is_no_url_of_a_proxy_is_refused_by_name_and_not_quoted() {
    for wrong in [
        "hush me",
        "http://",
        "ftp://hush",
        "socks5://hush:1080",
        "http://hush:99999",
        "http://hush/path",
        "http://hush:1#x",
        "hush:1#",
        "http://hush:1/#x",
        "http://hush:1?",
        "http://hush:1?x=y",
        "http://hush:1/?x",
        "hush:1/x",
        "://hush",
    ] {
        let problems = of(&[("https_proxy", wrong)]).expect_err(wrong);
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].variable, "https_proxy");
        assert!(
            problems[0].text.contains("write for example http://"),
            "{}",
            problems[0].text
        );
        assert!(!problems[0].text.contains("hush"));
    }
    // All variables are wrong at once.
    let all = [
        ("HTTPS_PROXY", "a b"),
        ("HTTP_PROXY", "http://c.test"),
        ("NO_PROXY", "http://d.test/"),
    ];
    assert_eq!(of(&all).expect_err("two").len(), 2);
}

#[test]
fn without_a_proxy_nothing_is_changed() {
    for pairs in [&[][..], &[("NO_PROXY", "http://x/")], &[("HTTPS_PROXY", " \n")]] {
        assert_eq!(of(pairs), Ok(BTreeMap::new()));
    }
}

#[test]
fn every_form_of_no_proxy_is_kept_to() {
    for (list, direct, by_proxy) in [
        ("", "https://vault.test", true),
        ("vault.test", "https://vault.test:8200", false),
        ("VAULT.test\n", "https://vault.test:8200", false),
        (".vault.test", "https://a.vault.test", false),
        ("*.vault.test", "https://a.vault.test", false),
        ("vault.test:8200", "https://vault.test:8200", false),
        ("vault.test.", "https://vault.test", false),
        ("a.test vault.test", "https://vault.test", false),
        ("a.test , vault.test,", "https://vault.test", false),
        ("vault.test", "https://notvault.test", true),
        ("*", "https://anything.test", false),
        ("10.0.0.0/8", "https://10.1.2.3:8200", false),
        ("10.0.0.0/8", "https://11.1.2.3:8200", true),
        ("10.0.0.0/08", "https://10.1.2.3:8200", false),
        ("10.1.2.3/8", "https://10.9.9.9", false),
        ("10.1.2.3", "https://10.1.2.3:8200", false),
        ("vault.test\tb.test", "https://b.test", false),
        ("10.1.2.3:8200", "https://10.1.2.3:8200", false),
        ("[fd00::1]:8200", "https://[fd00::1]:8200", false),
        ("fd00::/8", "https://[fd00::1]:8200", false),
    ] {
        assert_eq!(takes_a_proxy(list, direct), by_proxy, "NO_PROXY={list:?} {direct}");
    }
    for wrong in [
        "http://vault.test",
        "10.0.0.0/33",
        "fd00::/129",
        "a/b",
        "vault.test;b",
        "*vault.test",
        "vault.*",
        "10.*",
        "192.168.",
        "192.168",
        "10.1.2.3-10",
        "10.0.0.0/255.0.0.0",
        "vault..test",
        "-vault.test",
        "vault.test:https",
        "vault.test:99999",
        "ann@vault.test",
        "<local>",
        ".",
        "*.",
        "[fd00::1",
        "[fd00::1]x",
    ] {
        let list = format!("a.test,{wrong}");
        let problems = of(&[("HTTP_PROXY", "http://proxy.test"), ("NO_PROXY", &list)]).expect_err(wrong);
        assert_eq!(problems[0].variable, "NO_PROXY");
        assert!(
            problems[0].text.contains(&format!("has {wrong:?}")),
            "{}",
            problems[0].text
        );
    }
}

#[test]
fn a_port_in_no_proxy_is_warned_of_and_an_address_of_ipv6_has_none() {
    let warned = |list: &str| of_ports(|name| (name == "no_proxy").then(|| list.into()));
    let warning = warned("a.test, vault.test:8200 [fd00::1]:443").expect("two ports");
    assert!(
        warning.contains("no_proxy has vault.test:8200, [fd00::1]:443: "),
        "{warning}"
    );
    for list in ["", "a.test", "fd00::1,::1", "[fd00::1]", "fd00::/8"] {
        assert_eq!(warned(list), None, "{list}");
    }
}

#[test]
fn instance_metadata_and_this_machine_never_take_a_proxy() {
    for url in [
        "http://169.254.169.254/latest/meta-data/",
        "http://169.254.170.2/v2/credentials",
        "http://169.254.170.23/v1/credentials",
        "http://[fd00:ec2::254]/latest/meta-data/",
        "http://[fd00:ec2::23]/v1/credentials",
        "http://metadata.google.internal/computeMetadata/v1/",
        "http://metadata.goog/computeMetadata/v1/",
        "http://localhost:8080",
        "http://127.0.0.9",
        "http://[::1]:8200",
    ] {
        assert!(!takes_a_proxy("", url), "{url}");
    }
    assert!(takes_a_proxy("", "http://mymetadata.google.internal.test/"));
    let settled = of(&[
        ("HTTP_PROXY", "http://proxy.test"),
        ("GCE_METADATA_HOST", "metadata.test:8080"),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://[fd12::1]:80/"),
    ])
    .expect("good");
    let list: Vec<&str> = settled["NO_PROXY"].split(',').collect();
    assert!(list.contains(&"metadata.test") && list.contains(&"fd12::1"), "{list:?}");
}

#[test]
fn what_is_settled_is_not_changed_once_more() {
    let lists = [
        "",
        "*",
        "a.test, .b.test *.c.test 10.0.0.0/8 [fd00::1]:1",
        "localhost,127.0.0.1",
    ];
    for list in lists {
        let first = of(&[
            ("https_proxy", "\nhttp://a.test\n"),
            ("NO_PROXY", list),
            ("GCE_METADATA_HOST", "m.test"),
        ])
        .expect("good");
        let set: Vec<(&'static str, &str)> = first.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let set = [set.as_slice(), &[("GCE_METADATA_HOST", "m.test")]].concat();
        assert_eq!(of(&set).as_ref(), Ok(&first), "{list}");
        let get = |name: &str| first.get(name).map(OsString::from);
        assert!(changes(&first, get).is_empty());
    }
}
