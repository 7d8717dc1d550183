//! Tokens, and the key sets of those who issue them.

use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Map, Value};
use sha2::Sha256;
use steadfast::backend::ManualClock;
use steadfast::token::{Claims, Key, KeyRing, Verified};
use steadfast::{ErrorKind, Tokens};

use super::bounded;

const SECRET: &[u8; 32] = b"0123456789abcdef0123456789abcdef";
const NOW_S: u32 = 1_000_000;
const LEEWAY_S: f64 = 30.0;
const LIFE_MAX_S: f64 = 86_400.0;
const CLOCKS_APART_MAX_S: f64 = 1_200.0;

/// The shop's tokens for its orders.
static TOKENS: LazyLock<Tokens> = LazyLock::new(|| {
    let key = Key::hs256(SECRET).unwrap().named("k1").unwrap();
    let clock = ManualClock::at_us(u64::from(NOW_S) * 1_000_000);
    Tokens::builder("shop", key).audience("orders").clock(clock).build().unwrap()
});

/// A token passes if it is signed with our key and says what the rules want, and in no other case.
/// The input is one as a whole; and it is a header, up to the first line break, and claims, which
/// are signed here.
pub(super) fn check(input: &[u8]) {
    if let Ok(token) = std::str::from_utf8(input) {
        check_whole(token);
        check_issued(token);
    }
    let at = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (header, claims) = (&input[..at], input.get(at + 1..).unwrap_or_default());
    let token = signed(&[BASE64.encode(header), BASE64.encode(claims)].join("."));
    if let Ok(verified) = bounded(token.len(), || TOKENS.verify(&token)) {
        assert_rules_hold(header, claims, &verified);
    }
}

fn check_whole(token: &str) {
    let Ok(verified) = bounded(token.len(), || TOKENS.verify(token)) else { return };
    let parts = token.split('.').collect::<Vec<_>>();
    let [header, claims, _signature] = parts[..] else { panic!("{} parts passed", parts.len()) };
    assert_eq!(signed(&[header, claims].join(".")), token);
    let (header, claims) = (BASE64.decode(header).unwrap(), BASE64.decode(claims).unwrap());
    assert_rules_hold(&header, &claims, &verified);
}

/// What is issued passes and says the same, whatever the subject.
fn check_issued(subject: &str) {
    match TOKENS.issue(&Claims::new(subject).id("1"), Duration::from_secs(100)) {
        Ok(token) => assert_eq!(TOKENS.verify(&token).unwrap().subject, subject),
        Err(error) if subject.is_empty() => assert_eq!(error.kind(), ErrorKind::Invalid),
        Err(error) => assert_eq!(error.kind(), ErrorKind::TooLarge),
    }
}

fn signed(parts: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(SECRET).unwrap().chain_update(parts);
    format!("{parts}.{}", BASE64.encode(mac.finalize().into_bytes()))
}

fn assert_rules_hold(header: &[u8], claims: &[u8], verified: &Verified) {
    let header: Map<String, Value> = serde_json::from_slice(header).unwrap();
    let refused = ["crit", "b64", "zip", "enc"];
    assert!(header.keys().all(|name| !refused.contains(&name.as_str())));
    assert_eq!(header["alg"], "HS256");
    assert!(header.get("kid").is_none_or(|kid| kid == "k1"));
    if let Some(typ) = header.get("typ") {
        let typ = typ.as_str().unwrap().to_lowercase();
        assert_eq!(typ.strip_prefix("application/").unwrap_or(&typ), "jwt");
    }

    let claims: Map<String, Value> = serde_json::from_slice(claims).unwrap();
    let text = |name: &str| claims.get(name).map(|text| text.as_str().unwrap());
    let date = |name: &str| claims.get(name).map(|date| date.as_f64().unwrap());
    assert_eq!(text("iss"), Some("shop"));
    assert!(!verified.subject.is_empty());
    assert_eq!(text("sub"), Some(verified.subject.as_str()));
    assert_eq!(text("sid"), verified.session.as_deref());
    assert_eq!(text("jti"), verified.id.as_deref());
    match &claims["aud"] {
        Value::Array(names) => assert!(names.contains(&Value::from("orders"))),
        name => assert_eq!(name, "orders"),
    }
    let (now, exp) = (f64::from(NOW_S), date("exp").unwrap());
    assert!(now < exp + LEEWAY_S);
    let issued = date("iat").unwrap_or(now).min(now + CLOCKS_APART_MAX_S);
    assert!(exp - issued <= LIFE_MAX_S);
    assert!(date("nbf").is_none_or(|start| now >= start - LEEWAY_S));
}

/// A key set that is read is published as it was understood, without any key whose private part it
/// shows.
pub(super) fn check_key_set(input: &[u8]) {
    let Ok(document) = std::str::from_utf8(input) else { return };
    let ring = match bounded(input.len(), || KeyRing::from_jwks(document)) {
        Ok(ring) => ring,
        Err(error) => return assert_eq!(error.kind(), ErrorKind::Config),
    };
    let shown: Vec<_> = ring.left_out().iter().map(ToString::to_string).collect();
    assert!(shown.iter().all(|line| line.len() < 2_000 && !line.contains('\n')));
    let published = ring.to_jwks();
    assert_eq!(KeyRing::from_jwks(&published).unwrap().to_jwks(), published);
    let read: Value = serde_json::from_str(document).unwrap();
    let private = ["d", "k", "p", "q", "dp", "dq", "qi", "oth"];
    let shows_none = |key: &&Value| private.iter().all(|name| key.get(name).is_none());
    let usable_max = read["keys"].as_array().unwrap().iter().filter(shows_none).count();
    let published: Value = serde_json::from_str(&published).unwrap();
    assert!(published["keys"].as_array().unwrap().len() <= usable_max);
}
