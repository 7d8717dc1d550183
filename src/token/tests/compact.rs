//! Before anything of a token is believed: its length, its characters, its one form.

use std::time::Duration;

use proptest::prelude::*;

use crate::backend::ErrorKind;
use crate::text;

use super::super::{Claims, TokenError};
use super::{HEADER, builder, claims, key, signed_by, token, tokens};

#[test]
fn any_changed_character_fails() {
    let (tokens, _clock) = tokens();
    let good = tokens.issue(&Claims::new("alice").session("sid"), Duration::from_secs(100));
    let good = good.unwrap();
    let verified = tokens.verify(&good).unwrap();
    assert_eq!((verified.subject.as_str(), verified.session.as_deref()), ("alice", Some("sid")));
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
fn a_token_over_2_kib_is_refused_before_it_is_decoded_and_never_issued() {
    let (tokens, _clock) = tokens();
    let long = claims(&format!(r#","x":"{}""#, "x".repeat(2_048)));
    assert_eq!(tokens.verify(&token(HEADER, &long)), Err(TokenError::TooLong));
    // Not even its characters are looked at.
    assert_eq!(tokens.verify(&"!".repeat(2_049)), Err(TokenError::TooLong));
    assert_eq!(tokens.verify(&"!".repeat(2_048)), Err(TokenError::Malformed));
    let claims = Claims::new("a".repeat(2_048));
    let error = tokens.issue(&claims, Duration::from_secs(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
}

#[test]
fn a_service_may_set_how_long_a_token_is() {
    let roles: Vec<String> =
        (0..60).map(|role| format!("ROLE_DEPARTMENT_OF_SALES_{role}")).collect();
    let roles = std::collections::BTreeMap::from([("roles", roles)]);
    let claims = Claims::new("alice").extra(&roles).unwrap();
    let life = Duration::from_secs(100);
    let longer = builder(key()).0.len_max(4_096).build().unwrap();
    let token = longer.issue(&claims, life).unwrap();
    assert!(token.len() > 2_048);
    assert_eq!(longer.verify(&token).unwrap().subject, "alice");
    let (tokens, _clock) = tokens();
    assert_eq!(tokens.verify(&token), Err(TokenError::TooLong));
    assert_eq!(tokens.issue(&claims, life).unwrap_err().kind(), ErrorKind::TooLarge);

    let exactly = builder(key()).0.len_max(token.len()).build().unwrap();
    assert!(exactly.verify(&token).is_ok());
    let shorter = builder(key()).0.len_max(token.len() - 1).build().unwrap();
    assert_eq!(shorter.verify(&token), Err(TokenError::TooLong));
    for bytes in [0, 16 * 1_024 + 1, usize::MAX] {
        let error = builder(key()).0.len_max(bytes).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{bytes}");
    }
}

#[test]
fn only_three_parts_of_canonical_base64url_are_a_token() {
    let (tokens, _clock) = tokens();
    let good = token(HEADER, &claims(""));
    assert!(tokens.verify(&good).is_ok());
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!() };
    for bad in [
        String::new(),
        "..".to_owned(),
        format!("{header}.{payload}"),
        format!("{header}.{payload}."),
        format!(".{payload}.{signature}"),
        format!("{header}..{signature}"),
        // Five parts are a JWE.
        format!("{good}.{payload}.{signature}"),
        format!("{good}="),
        format!("{good}\n"),
        format!(" {good}"),
        format!("{header}.{payload}.{signature}%"),
        good.replace('.', "\u{2024}"),
        format!("{header}=.{payload}.{signature}"),
    ] {
        assert_eq!(tokens.verify(&bad), Err(TokenError::Malformed), "{bad}");
    }
}

/// The same bytes of a signature in another spelling: the last character of 32 bytes has two bits
/// that count for nothing.
#[test]
fn a_signature_in_another_spelling_is_refused() {
    let (tokens, _clock) = tokens();
    let mut twin = token(HEADER, &claims(""));
    let last = twin.pop().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let at = alphabet.find(last).unwrap();
    assert_eq!(at % 4, 0);
    twin.push_str(&alphabet[at + 1..at + 2]);
    assert_eq!(tokens.verify(&twin), Err(TokenError::Malformed));
}

#[test]
fn a_shortened_signature_is_refused() {
    let (tokens, _clock) = tokens();
    let good = token(HEADER, &claims(""));
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let signature = text::decode(signature).unwrap();
    for len in 1..signature.len() {
        let short = format!("{signed}.{}", text::encode(&signature[..len]));
        assert_eq!(tokens.verify(&short), Err(TokenError::BadSignature), "{len} bytes");
    }
}

#[test]
fn only_strict_utf8_json_is_read() {
    let (tokens, _clock) = tokens();
    let verdict = |claims: &[u8]| tokens.verify(&signed_by(&key(), HEADER, claims)).map(|_| ());
    let good = claims(r#","x":"?""#).into_bytes();
    assert_eq!(verdict(&good), Ok(()));
    let foreign = good.iter().map(|byte| if *byte == b'?' { 0xff } else { *byte }).collect();
    for bad in [
        foreign,
        claims(r#","x":"\ud800""#).into_bytes(),
        [good.as_slice(), b"x"].concat(),
        [b"\xef\xbb\xbf", good.as_slice()].concat(),
        b"\xff".to_vec(),
    ] {
        assert_eq!(verdict(&bad), Err(TokenError::InvalidClaims), "{bad:?}");
    }
}

proptest! {
    #[test]
    fn no_text_stops_the_verifier(text in ".{0,300}") {
        prop_assert!(tokens().0.verify(&text).is_err());
    }

    #[test]
    fn no_parts_stop_the_verifier(
        header in proptest::collection::vec(any::<u8>(), 0..80),
        payload in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let header = String::from_utf8_lossy(&header);
        prop_assert!(tokens().0.verify(&signed_by(&key(), &header, payload)).is_err());
    }

    /// With a good signature, whatever stands in the claims.
    #[test]
    fn no_claims_stop_the_verifier(name in "iss|sub|aud|exp|nbf|iat|jti|sid", value in json()) {
        let (tokens, _clock) = tokens();
        let claims = claims("").replace(&format!(r#""{name}""#), r#""x""#);
        let claims = claims.replacen('{', &format!(r#"{{"{name}":{value},"#), 1);
        let _verdict = tokens.verify(&token(HEADER, &claims));
        let lax = builder(key()).0.allow_no_issuer().allow_no_subject().allow_early_dates();
        let _verdict = lax.cache(9).build().unwrap().verify(&token(HEADER, &claims));
    }
}

fn json() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<f64>().prop_map(|number| format!("{number:e}")),
        any::<i64>().prop_map(|number| number.to_string()),
        "[0-9eE.+-]{1,12}",
        "\"[ -~]{0,8}\"",
        Just("null".to_owned()),
        "[\\[\\]{},:\"a1]{0,12}",
    ]
}
