//! The rules of RFC 8725, one by one, on tokens that are signed with the right key.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::backend::{ErrorKind, ManualClock};
use crate::text;

use super::{Claims, TokenError, Tokens};

const SECRET: &[u8; 32] = b"0123456789abcdef0123456789abcdef";
const NOW_S: u64 = 1_000_000;

fn tokens() -> (Tokens, ManualClock) {
    let clock = ManualClock::at_us(NOW_S * 1_000_000);
    (Tokens::builder("shop", SECRET).clock(clock.clone()).build().unwrap(), clock)
}

/// Signs whatever header and claims with our key.
fn token(header: &str, claims: &str) -> String {
    let signed = format!("{}.{}", text::encode(header.as_bytes()), text::encode(claims.as_bytes()));
    let mac = Hmac::<Sha256>::new_from_slice(SECRET).unwrap().chain_update(&signed);
    format!("{signed}.{}", text::encode(&mac.finalize().into_bytes()))
}

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

fn claims(extra: &str) -> String {
    format!(r#"{{"iss":"shop","sub":"alice","exp":{}{extra}}}"#, NOW_S + 100)
}

#[test]
fn a_good_token_passes_and_any_changed_character_fails() {
    let (tokens, _clock) = tokens();
    let claims = Claims { subject: "alice".to_owned(), session: Some("sid".to_owned()) };
    let good = tokens.issue(&claims, Duration::from_secs(100)).unwrap();
    assert_eq!(tokens.verify(&good).unwrap(), claims);
    for at in 0..good.len() {
        let mut changed = good.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(tokens.verify(&changed).is_err(), "character {at}");
    }
    for len in 0..good.len() {
        assert!(tokens.verify(&good[..len]).is_err(), "{len} characters");
    }
}

#[test]
fn the_header_is_ours_or_refused() {
    let (tokens, _clock) = tokens();
    assert!(tokens.verify(&token(r#"{"typ":"jwt","alg":"HS256"}"#, &claims(""))).is_ok());
    for header in [
        r#"{"alg":"none","typ":"JWT"}"#,
        r#"{"alg":"hs256","typ":"JWT"}"#,
        r#"{"alg":"HS512","typ":"JWT"}"#,
        r#"{"alg":"RS256","typ":"JWT"}"#,
        r#"{"alg":"HS256"}"#,
        r#"{"alg":"HS256","typ":"at+jwt"}"#,
        r#"{"alg":"HS256","typ":"JWT","crit":["exp"]}"#,
        r#"{"alg":"HS256","typ":"JWT","jku":"https://evil"}"#,
        r#"{"alg":"HS256","alg":"HS256","typ":"JWT"}"#,
        r#"{"alg":["HS256"],"typ":"JWT"}"#,
        "[]",
        "",
    ] {
        let verdict = tokens.verify(&token(header, &claims("")));
        assert_eq!(verdict, Err(TokenError::UnsupportedHeader), "{header}");
    }
}

#[test]
fn a_claim_of_a_wrong_type_is_refused_never_skipped() {
    let (tokens, _clock) = tokens();
    assert!(tokens.verify(&token(HEADER, &claims(r#","nbf":1,"iat":1.5,"x":[]"#))).is_ok());
    for body in [
        String::new(),
        "[]".to_owned(),
        r#"{"iss":"shop","sub":"alice"}"#.to_owned(),
        r#"{"iss":"shop","exp":9000000}"#.to_owned(),
        r#"{"sub":"alice","exp":9000000}"#.to_owned(),
        r#"{"iss":"shop","sub":"alice","exp":"9000000"}"#.to_owned(),
        r#"{"iss":"shop","sub":"alice","exp":null}"#.to_owned(),
        r#"{"iss":"shop","sub":"alice","exp":1e300}"#.to_owned(),
        r#"{"iss":"shop","sub":"","exp":9000000}"#.to_owned(),
        r#"{"iss":["shop"],"sub":"alice","exp":9000000}"#.to_owned(),
        claims(r#","nbf":null"#),
        claims(r#","nbf":"1""#),
        claims(r#","nbf":-1"#),
        claims(r#","iat":"now""#),
        claims(r#","sid":7"#),
        claims(r#","sub":"bob""#),
        claims(r#","exp":1"#),
        claims(r#","aud":"somebody else""#),
    ] {
        let verdict = tokens.verify(&token(HEADER, &body));
        assert_eq!(verdict, Err(TokenError::InvalidClaims), "{body}");
    }
    let foreign = claims("").replace("shop", "other");
    assert_eq!(tokens.verify(&token(HEADER, &foreign)), Err(TokenError::ForeignIssuer));
}

#[test]
fn a_token_is_valid_until_exp_plus_leeway() {
    let (tokens, clock) = tokens();
    let good = token(HEADER, &claims(""));
    clock.advance(Duration::from_secs(130) - Duration::from_micros(1));
    assert!(tokens.verify(&good).is_ok());
    clock.advance(Duration::from_micros(1));
    assert_eq!(tokens.verify(&good), Err(TokenError::Expired));
}

#[test]
fn the_leeway_can_be_zero() {
    let clock = ManualClock::at_us((NOW_S + 100) * 1_000_000 - 1);
    let tokens = Tokens::builder("shop", SECRET).leeway(Duration::ZERO).clock(clock.clone());
    let tokens = tokens.build().unwrap();
    assert!(tokens.verify(&token(HEADER, &claims(""))).is_ok());
    clock.advance(Duration::from_micros(1));
    assert_eq!(tokens.verify(&token(HEADER, &claims(""))), Err(TokenError::Expired));
}

#[test]
fn a_token_is_valid_from_nbf_minus_leeway() {
    let (tokens, clock) = tokens();
    let early = token(HEADER, &claims(&format!(r#","nbf":{}"#, NOW_S + 31)));
    assert_eq!(tokens.verify(&early), Err(TokenError::NotYetValid));
    clock.advance(Duration::from_secs(1));
    assert!(tokens.verify(&early).is_ok());
}

#[test]
fn a_long_token_is_refused_before_it_is_decoded_and_never_issued() {
    let (tokens, _clock) = tokens();
    let long = claims(&format!(r#","x":"{}""#, "x".repeat(2_048)));
    assert_eq!(tokens.verify(&token(HEADER, &long)), Err(TokenError::TooLong));
    let claims = Claims { subject: "a".repeat(2_048), session: None };
    let error = tokens.issue(&claims, Duration::from_secs(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
}

#[test]
fn a_weak_secret_is_refused() {
    for len in [0, 31] {
        let error = Tokens::builder("shop", &SECRET[..len]).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
    }
}

#[test]
fn another_secret_is_another_issuer() {
    let (tokens, _clock) = tokens();
    let other = Tokens::builder("shop", &[7; 32]).build().unwrap();
    let claims = Claims { subject: "alice".to_owned(), session: None };
    let token = other.issue(&claims, Duration::from_secs(9)).unwrap();
    assert_eq!(tokens.verify(&token), Err(TokenError::BadSignature));
}
