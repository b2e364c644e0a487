//! Claims of real issuers as their documentation shows them, and what Signet does with each, by default or with the
//! settings of `docs/issuers.md`. A row that is refused says why that is right.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::{Value, json};
use signet_core::algorithm::RsaBits;
use signet_core::verify::{Dialect, Requirements, Unproven};
use signet_core::{Algorithm, ClaimPath, Issuer, SigningKey, Timestamp};

const NOW: i64 = 1_750_000_000;

/// One token: its issuer, where it is documented, and what a caller requires of it.
struct Shape {
    name: &'static str,
    /// The members of the header besides `alg` and `kid`.
    header: &'static str,
    /// The claims, with `NOW` and `EXP` as placeholders for the times.
    claims: &'static str,
    issuer: &'static str,
    audience: &'static str,
    /// `audience_claim` and `scope_claims` in the issuer's configuration table.
    settings: (Option<&'static str>, &'static [&'static str]),
    scope: Option<&'static str>,
    expect: &'static str,
}

const GOOD: &str = "good";
const API: &str = "https://orders.example.com";

impl Shape {
    fn judge(&self, key: &SigningKey) -> &'static str {
        self.judge_claims(key, self.claims)
    }

    /// Judges other claims under the same requirements.
    fn judge_claims(&self, key: &SigningKey, claims: &str) -> &'static str {
        let header = format!(r#"{{"alg":"EdDSA","kid":"k"{}}}"#, self.header);
        let claims = claims
            .replace("NOW", &NOW.to_string())
            .replace("EXP", &(NOW + 3600).to_string());
        let b64 = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let input = format!("{}.{}", b64(&header), b64(&claims));
        let signature = URL_SAFE_NO_PAD.encode(key.sign(input.as_bytes()).expect("a signature"));
        let path = |text: &&str| ClaimPath::parse(text).expect("a path");
        let dialect = Dialect {
            audience: self.settings.0.as_ref().map(path),
            scope: self.settings.1.iter().map(path).collect(),
        };
        let require = Requirements {
            issuer: &Issuer::new(self.issuer),
            audience: &[self.audience],
            scope: self.scope,
            typ: None,
            clock_skew: Duration::from_secs(60),
        };
        let token = format!("{input}.{signature}");
        let verdict = Unproven::parse(&token)
            .and_then(|token| token.authenticate(key.verifying_key(), &dialect))
            .and_then(|token| token.verify(&require, Timestamp::from_secs(NOW)).map(|_| ()));
        verdict.map_or_else(|refusal| refusal.code(), |()| GOOD)
    }
}

const DEFAULTS: (Option<&str>, &[&str]) = (None, &[]);

fn shapes() -> Vec<Shape> {
    let shape = |name, issuer, claims| Shape {
        name,
        header: r#","typ":"JWT""#,
        claims,
        issuer,
        audience: API,
        settings: DEFAULTS,
        scope: None,
        expect: GOOD,
    };
    let auth0 = r#"{"iss":"https://tenant.eu.auth0.com/","sub":"auth0|6553da60a54af58e29493993","aud":["https://orders.example.com","https://tenant.eu.auth0.com/userinfo"],"iat":NOW,"exp":EXP,"scope":"openid read:orders","azp":"K1AUPhZq8mRi0Q0pjhkfu1D7y6KjDQja","permissions":["write:orders"]}"#;
    let entra_v1 = r#"{"aud":"https://orders.example.com","iss":"https://sts.windows.net/fa15d692-e9c7-4460-a743-29f29522229/","iat":NOW,"nbf":NOW,"exp":EXP,"acr":"1","aio":"AXQAi/8IAAAA","amr":["rsa","mfa"],"appid":"75dbe77f","appidacr":"0","ipaddr":"1.2.3.4","name":"abeli","oid":"02223b6b","rh":"0.ABC","scp":"user_impersonation read","sub":"l3_roISQU222bULS9yi2k0XpqpOiMz5H3ZACo1GeXA","tid":"fa15d692","unique_name":"abeli@microsoft.com","uti":"FVsGxYXI30-TuikuuUoFAA","ver":"1.0"}"#;
    let entra_app = r#"{"aud":"https://orders.example.com","iss":"https://login.microsoftonline.com/fa15d692/v2.0","iat":NOW,"nbf":NOW,"exp":EXP,"aio":"ASQA2/8TEAAA","azp":"6e74172b","azpacr":"1","oid":"690222be","rh":"0.ABC","roles":["Orders.Read.All"],"sub":"690222be","tid":"fa15d692","uti":"MS","ver":"2.0"}"#;
    let cognito = r#"{"sub":"aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee","device_key":"aaaaaaaa","cognito:groups":["testgroup"],"iss":"https://cognito-idp.us-east-2.amazonaws.com/us-east-2_example","version":2,"client_id":"xxxxxxxxxxxxexample","origin_jti":"aaaaaaaa","event_id":"bbbbbbbb","token_use":"access","scope":"phone openid https://orders.example.com/read","auth_time":NOW,"exp":EXP,"iat":NOW,"jti":"dddddddd","username":"user"}"#;
    let keycloak = r#"{"exp":EXP,"iat":NOW,"auth_time":NOW,"jti":"onrtac:5c","iss":"https://login.example.com/realms/shop","aud":["https://orders.example.com","account"],"sub":"f3b8","typ":"Bearer","azp":"web","sid":"9c","acr":"1","allowed-origins":["https://shop.example.com"],"realm_access":{"roles":["seller"]},"resource_access":{"account":{"roles":["view-profile"]}},"scope":"openid orders:read","email_verified":true}"#;
    let duende = r#"{"iss":"https://demo.duendesoftware.com","nbf":NOW,"iat":NOW,"exp":EXP,"aud":"https://orders.example.com","scope":["openid","read","write"],"amr":["pwd"],"client_id":"interactive.public","sub":"88421113","auth_time":NOW,"idp":"local","jti":"7A5DB0A6"}"#;
    let spring = r#"{"sub":"messaging-client","aud":"https://orders.example.com","nbf":NOW,"scope":["message.read","message.write"],"iss":"http://localhost:9000","exp":EXP,"iat":NOW,"jti":"8d5a"}"#;
    let forgerock = r#"{"sub":"(usr!demo)","cts":"OAUTH2_STATELESS_GRANT","auditTrackingId":"f6c0","subname":"demo","iss":"https://am.example.com/am/oauth2","tokenName":"access_token","token_type":"Bearer","authGrantId":"Bf","aud":"https://orders.example.com","nbf":NOW,"grant_type":"authorization_code","scope":["write","read"],"auth_time":NOW,"realm":"/","exp":EXP,"iat":NOW,"expires_in":3600,"jti":"Vh","may_act":null}"#;
    let google = r#"{"iss":"accounts.google.com","azp":"1234987819200.apps.googleusercontent.com","aud":"1234987819200.apps.googleusercontent.com","sub":"10769150350006150715113082367","at_hash":"HK6E_P6Dh8Y93mRNtsDB1Q","hd":"example.com","email":"jsmith@example.com","email_verified":"true","iat":NOW,"exp":EXP,"nonce":"0394852-3190485-2490358"}"#;
    let zitadel = r#"{"iss":"https://shop.zitadel.cloud","sub":"170079991923474689","aud":["https://orders.example.com","170086824411201793"],"exp":EXP,"iat":NOW,"nbf":NOW,"client_id":"web@shop","jti":"170","azp":"170086824411201793","urn:zitadel:iam:org:project:roles":{"seller":{"165":"shop.localhost"}}}"#;
    let authentik = r#"{"iss":"https://id.example.com/application/o/shop/","sub":"5b1e","aud":"https://orders.example.com","exp":EXP,"iat":NOW,"auth_time":NOW,"acr":"goauthentik.io/providers/oauth2/default","amr":["pwd"],"azp":"web","uid":"vT","scope":"openid read","email_verified":true,"groups":["sellers"]}"#;
    let github = r#"{"jti":"example-id","sub":"repo:octo-org/octo-repo:environment:prod","environment":"prod","aud":"https://orders.example.com","ref":"refs/heads/main","sha":"example-sha","repository":"octo-org/octo-repo","repository_owner":"octo-org","actor_id":"12","repository_visibility":"private","repository_id":"74","run_id":"example-run-id","run_number":"10","run_attempt":"2","runner_environment":"github-hosted","workflow":"example-workflow","head_ref":"","base_ref":"","event_name":"workflow_dispatch","ref_type":"branch","job_workflow_ref":"octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main","iss":"https://token.actions.githubusercontent.com","nbf":NOW,"exp":EXP,"iat":NOW}"#;
    let kubernetes = r#"{"aud":["https://orders.example.com"],"exp":EXP,"iat":NOW,"iss":"https://kubernetes.default.svc.cluster.local","jti":"aed34954","kubernetes.io":{"namespace":"default","node":{"name":"n","uid":"646e"},"pod":{"name":"p","uid":"5e02"},"serviceaccount":{"name":"default","uid":"a087"},"warnafter":1750003000},"nbf":NOW,"sub":"system:serviceaccount:default:default"}"#;
    let mut shapes = vec![
        // https://auth0.com/docs/secure/tokens/access-tokens/access-token-profiles
        shape("Auth0", "https://tenant.eu.auth0.com/", auth0),
        Shape {
            settings: (None, &["scope", "permissions"]),
            scope: Some("write:orders read:orders"),
            ..shape("Auth0 with permissions", "https://tenant.eu.auth0.com/", auth0)
        },
        Shape {
            settings: (None, &["scope", "permissions"]),
            scope: Some("a"),
            ..shape(
                "Auth0 with null permissions",
                "https://tenant.eu.auth0.com/",
                r#"{"iss":"https://tenant.eu.auth0.com/","sub":"c@clients","aud":"https://orders.example.com","iat":NOW,"exp":EXP,"scope":"a","gty":"client-credentials","permissions":null}"#,
            )
        },
        // https://developer.okta.com/docs/reference/api/oidc/#access-token-payload
        Shape {
            header: "",
            scope: Some("offline_access read"),
            ..shape(
                "Okta",
                "https://example.okta.com/oauth2/default",
                r#"{"ver":1,"jti":"AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE","iss":"https://example.okta.com/oauth2/default","aud":"https://orders.example.com","sub":"00ujmkLgagxeRrAg20g3","iat":NOW,"exp":EXP,"cid":"nmdP1fcyvdVO11AL7ECm","uid":"00ujmkLgagxeRrAg20g3","scp":["openid","read","offline_access"],"auth_time":NOW}"#,
            )
        },
        // https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference
        Shape {
            scope: Some("user_impersonation"),
            header: r#","typ":"JWT","x5t":"i6lGk3FZzxRcUb2C3nEQ7syHJlY""#,
            ..shape(
                "Entra v1",
                "https://sts.windows.net/fa15d692-e9c7-4460-a743-29f29522229/",
                entra_v1,
            )
        },
        Shape {
            settings: (None, &["scp", "roles"]),
            scope: Some("Orders.Read.All"),
            ..shape(
                "Entra v2 of an application",
                "https://login.microsoftonline.com/fa15d692/v2.0",
                entra_app,
            )
        },
        Shape {
            scope: Some("Orders.Read.All"),
            // By default, roles are not scopes: no user consented to them.
            expect: "insufficient_scope",
            ..shape(
                "Entra v2 roles by default",
                "https://login.microsoftonline.com/fa15d692/v2.0",
                entra_app,
            )
        },
        // https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-access-token.html
        Shape {
            header: "",
            audience: "xxxxxxxxxxxxexample",
            settings: (Some("client_id"), &[]),
            scope: Some("https://orders.example.com/read"),
            ..shape(
                "Cognito",
                "https://cognito-idp.us-east-2.amazonaws.com/us-east-2_example",
                cognito,
            )
        },
        Shape {
            header: "",
            audience: "xxxxxxxxxxxxexample",
            // It has no `aud`, and no setting says that the client is the audience.
            expect: "wrong_audience",
            ..shape(
                "Cognito by default",
                "https://cognito-idp.us-east-2.amazonaws.com/us-east-2_example",
                cognito,
            )
        },
        // https://www.keycloak.org/docs/latest/server_admin/#_oidc_token
        Shape {
            settings: (None, &["scope", "/realm_access/roles"]),
            scope: Some("orders:read seller"),
            ..shape("Keycloak", "https://login.example.com/realms/shop", keycloak)
        },
        Shape {
            settings: (None, &["scope", "/realm_access/roles", "/resource_access/orders/roles"]),
            scope: Some("orders:read"),
            ..shape(
                "Keycloak with null roles",
                "https://login.example.com/realms/shop",
                r#"{"exp":EXP,"iat":NOW,"iss":"https://login.example.com/realms/shop","aud":"https://orders.example.com","sub":"f3","typ":"Bearer","realm_access":{"roles":null},"resource_access":null,"scope":"orders:read"}"#,
            )
        },
        // https://docs.duendesoftware.com/identityserver/fundamentals/resources/api-scopes/
        Shape {
            header: r#","typ":"at+jwt""#,
            scope: Some("read write"),
            ..shape("Duende", "https://demo.duendesoftware.com", duende)
        },
        Shape {
            header: r#","typ":"at+jwt""#,
            ..shape("Duende, no scope asked", "https://demo.duendesoftware.com", duende)
        },
        Shape {
            header: r#","typ":"at+jwt""#,
            scope: Some("admin"),
            expect: "insufficient_scope",
            ..shape("Duende, another scope", "https://demo.duendesoftware.com", duende)
        },
        // https://docs.spring.io/spring-authorization-server/reference/guides/how-to-custom-claims-authorities.html
        Shape {
            header: "",
            scope: Some("message.read"),
            ..shape("Spring", "http://localhost:9000", spring)
        },
        Shape {
            header: "",
            ..shape(
                "Spring without a scope",
                "http://localhost:9000",
                r#"{"sub":"c","aud":["https://orders.example.com"],"nbf":NOW,"scope":[""],"iss":"http://localhost:9000","exp":EXP,"iat":NOW}"#,
            )
        },
        // https://docs.pingidentity.com/pingam/7.5/oauth2-guide/oauth2-client-side-tokens.html
        Shape {
            header: r#","typ":"JWT","zip":"NONE""#,
            scope: Some("read"),
            ..shape("ForgeRock", "https://am.example.com/am/oauth2", forgerock)
        },
        // https://docs.pingidentity.com/pingone/ (access tokens), with "acr" and "env"
        Shape {
            scope: Some("read"),
            ..shape(
                "PingOne",
                "https://auth.pingone.eu/5caa81af/as",
                r#"{"client_id":"1a2b","iss":"https://auth.pingone.eu/5caa81af/as","jti":"c1","iat":NOW,"exp":EXP,"aud":["https://orders.example.com"],"env":"5caa81af","org":"9ad1","scope":"read","p1.rid":"c1"}"#,
            )
        },
        // https://docs.pingidentity.com/pingfederate/ (JSON token management: scopes not space delimited)
        Shape {
            header: r#","pi.atm":"5""#,
            scope: Some("write"),
            ..shape(
                "PingFederate",
                "https://sso.example.com",
                r#"{"scope":["read","write"],"client_id":"web","iss":"https://sso.example.com","aud":"https://orders.example.com","jti":"a","sub":"joe","exp":EXP}"#,
            )
        },
        // https://developers.google.com/identity/openid-connect/openid-connect#an-id-tokens-payload
        Shape {
            audience: "1234987819200.apps.googleusercontent.com",
            ..shape("Google, iss without a scheme", "accounts.google.com", google)
        },
        Shape {
            audience: "1234987819200.apps.googleusercontent.com",
            // Names are compared byte by byte (RFC 7519 §4.1.1). Each of Google's two names must be trusted separately.
            expect: "wrong_issuer",
            ..shape("Google under its other name", "https://accounts.google.com", google)
        },
        // https://zitadel.com/docs/apis/openidoauth/claims
        shape("Zitadel", "https://shop.zitadel.cloud", zitadel),
        Shape {
            settings: (None, &["/urn:zitadel:iam:org:project:roles/seller"]),
            scope: Some("seller"),
            // Zitadel's roles are member names of an object, which is not a list of scopes. An action in Zitadel can
            // convert them to a list.
            expect: "malformed",
            ..shape("Zitadel's roles", "https://shop.zitadel.cloud", zitadel)
        },
        // https://docs.goauthentik.io/add-secure-apps/providers/oauth2/
        Shape {
            settings: (None, &["scope", "groups"]),
            scope: Some("read sellers"),
            ..shape("Authentik", "https://id.example.com/application/o/shop/", authentik)
        },
        // https://docs.github.com/actions/concepts/security/openid-connect
        shape("GitHub Actions", "https://token.actions.githubusercontent.com", github),
        // https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#bound-service-account-tokens
        Shape {
            header: "",
            ..shape("Kubernetes", "https://kubernetes.default.svc.cluster.local", kubernetes)
        },
        Shape {
            header: "",
            scope: Some("read"),
            // The token has no scope at all.
            expect: "insufficient_scope",
            ..shape(
                "Kubernetes, a scope asked",
                "https://kubernetes.default.svc.cluster.local",
                kubernetes,
            )
        },
    ];
    shapes.extend(forms());
    shapes
}

/// Single forms of claims, each added to good ones.
fn forms() -> Vec<Shape> {
    let form = |name, claims| Shape {
        name,
        header: "",
        claims,
        issuer: "i",
        audience: API,
        settings: DEFAULTS,
        scope: None,
        expect: GOOD,
    };
    let read = |shape: Shape| Shape {
        scope: Some("read"),
        ..shape
    };
    let refused = |expect, shape: Shape| Shape { expect, ..shape };
    let odd = r#"{"iss":"i","aud":"https://orders.example.com","exp":EXP,"scope":{"read":true}}"#;
    let mixed = r#"{"iss":"i","aud":"https://orders.example.com","exp":EXP,"scope":["read",1]}"#;
    let null = r#"{"iss":"i","aud":"https://orders.example.com","exp":EXP,"scope":null}"#;
    let chosen = r#"{"iss":"i","aud":"https://orders.example.com","exp":EXP,"client_id":null}"#;
    vec![
        // RFC 7519 §2: a NumericDate may have a fraction, and JSON writes one number in many ways.
        form(
            "instants with fractions",
            r#"{"iss":"i","aud":"https://orders.example.com","iat":NOW.123456,"nbf":NOW.0,"exp":EXP.9}"#,
        ),
        form(
            "an exp of the year 9999",
            r#"{"iss":"i","aud":"https://orders.example.com","exp":253402300799}"#,
        ),
        form(
            "an exp in exponents",
            r#"{"iss":"i","aud":"https://orders.example.com","exp":2.5e9,"iat":1.7e9}"#,
        ),
        refused(
            "malformed",
            // This is in milliseconds. The token would never expire.
            form(
                "an exp beyond the year 9999",
                r#"{"iss":"i","aud":"https://orders.example.com","exp":1750003600000}"#,
            ),
        ),
        form("a scope that is an object, and not asked for", odd),
        refused("malformed", read(form("a scope that is an object", odd))),
        form("a scope with a number, and not asked for", mixed),
        refused("malformed", read(form("a scope with a number", mixed))),
        form("a null scope, and none asked for", null),
        refused("insufficient_scope", read(form("a null scope", null))),
        read(form(
            "a null scope beside scp",
            r#"{"iss":"i","aud":"https://orders.example.com","exp":EXP,"scope":null,"scp":["read"]}"#,
        )),
        refused(
            "insufficient_scope",
            // RFC 6749 §3.3: a scope holds no space, so this is not the scope `read`.
            read(form(
                "a scope with a space in an array",
                r#"{"iss":"i","aud":"https://orders.example.com","exp":EXP,"scope":["not read"]}"#,
            )),
        ),
        refused(
            "wrong_audience",
            Shape {
                settings: (Some("client_id"), &[]),
                ..form("a chosen audience that is null", chosen)
            },
        ),
        refused(
            "wrong_audience",
            Shape {
                settings: (Some("/client_id/id"), &[]),
                ..form("a chosen audience below null", chosen)
            },
        ),
        read(Shape {
            settings: (None, &["a", "/b/c", "scope"]),
            ..form(
                "chosen scopes that are null, one below null",
                r#"{"iss":"i","aud":"https://orders.example.com","exp":EXP,"a":null,"b":null,"scope":"read"}"#,
            )
        }),
    ]
}

#[test]
fn the_claims_of_real_issuers_are_read_as_they_are_meant() {
    let key = SigningKey::generate(Algorithm::EdDSA, RsaBits::default()).expect("a key");
    let wrong: Vec<String> = shapes()
        .iter()
        .map(|shape| (shape, shape.judge(&key)))
        .filter(|(shape, verdict)| *verdict != shape.expect)
        .map(|(shape, verdict)| format!("{}: expected {}, got {verdict}", shape.name, shape.expect))
        .collect();
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Any JSON value, built from words that have a meaning in claims.
fn any_json() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "read",
        "write",
        "",
        " ",
        "read write",
        "not read",
        "READ",
        "read ",
        "null",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        word.prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let object = prop::collection::btree_map("[a-c]", inner.clone(), 0..3);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            object.prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// The scopes in a claim of this value: the words of a string, or the strings of an array that have no space in them.
fn scopes(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => text.split(' ').map(str::to_owned).collect(),
        Value::Array(members) if members.iter().all(Value::is_string) => {
            let texts = members.iter().filter_map(Value::as_str);
            texts.filter(|text| !text.contains(' ')).map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

proptest! {
    #[test]
    fn whatever_a_claim_of_scopes_holds_it_gives_no_other_scope_and_is_no_matter_where_none_is_asked(
        value in any_json(),
        chosen in any::<bool>(),
    ) {
        let key = SigningKey::generate(Algorithm::EdDSA, RsaBits::default()).expect("a key");
        let claims = json!({"iss": "i", "aud": API, "exp": NOW + 3600, "scope": value}).to_string();
        let asked = |scope| Shape {
            name: "any",
            header: "",
            claims: "",
            issuer: "i",
            audience: API,
            settings: (None, if chosen { &["scope"] } else { &[] }),
            scope,
            expect: GOOD,
        };
        prop_assert_eq!(asked(None).judge_claims(&key, &claims), GOOD);
        let verdict = asked(Some("read")).judge_claims(&key, &claims);
        prop_assert_eq!(verdict == GOOD, scopes(&value).iter().any(|scope| scope == "read"), "{}", value);
    }
}
