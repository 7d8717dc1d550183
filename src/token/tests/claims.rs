//! The claims: each of its type, present where it must be, and within its limits.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::backend::ErrorKind;

use super::super::{Claims, TokenError, Tokens};
use super::{HEADER, NOW_S, builder, claims, key, signed_by, token, tokens};

fn verdict(claims: &str) -> Result<(), TokenError> {
    tokens().0.verify(&token(HEADER, claims)).map(|_verified| ())
}

/// CVE-2026-25537: a string for `exp` or `nbf` was taken for a claim that is absent.
#[test]
fn a_claim_of_a_wrong_type_is_refused_never_skipped() {
    assert_eq!(verdict(&claims(r#","nbf":1,"iat":999999.5,"jti":"x","sid":"y","x":[]"#)), Ok(()));
    let end = NOW_S + 100;
    let exp = |value: &str| claims("").replace(&end.to_string(), value);
    for body in [
        "[]".to_owned(),
        "null".to_owned(),
        exp(&format!("\"{end}\"")),
        exp("null"),
        exp("true"),
        exp("[]"),
        exp("-1"),
        exp("1e300"),
        exp("1e999"),
        exp("NaN"),
        exp("Infinity"),
        claims(r#","nbf":null"#),
        claims(r#","nbf":"1""#),
        claims(r#","nbf":-1"#),
        claims(r#","iat":"now""#),
        claims(r#","iat":null"#),
        claims(r#","iat":{}"#),
        claims(r#","sid":7"#),
        claims(r#","jti":7"#),
        claims(r#","jti":"""#),
        claims(r#","jti":null"#),
        claims("").replace(r#""shop""#, r#"["shop"]"#),
        claims("").replace(r#""alice""#, "7"),
        claims("").replace(r#""alice""#, r#""""#),
        claims("").replace(r#""orders""#, "7"),
        claims("").replace(r#""orders""#, "null"),
        claims("").replace(r#""orders""#, r#"{"orders":true}"#),
        claims("").replace(r#""orders""#, r#"["orders",7]"#),
    ] {
        assert_eq!(verdict(&body), Err(TokenError::InvalidClaims), "{body}");
    }
}

#[test]
fn a_missing_claim_is_refused() {
    for name in ["iss", "sub", "exp"] {
        let body = claims("").replace(&format!(r#""{name}""#), r#""x""#);
        assert_eq!(verdict(&body), Err(TokenError::InvalidClaims), "{name}");
    }
}

#[test]
fn a_claim_that_stands_twice_is_refused_at_any_depth() {
    assert_eq!(verdict(&claims(r#","x":{"a":1},"y":{"a":1}"#)), Ok(()));
    for extra in [
        r#","sub":"bob""#,
        r#","exp":1"#,
        r#","x":1,"x":1"#,
        r#","\u0073ub":"bob""#,
        r#","x":{"a":1,"a":2}"#,
        r#","x":[{"a":{"b":1,"b":1}}]"#,
    ] {
        assert_eq!(verdict(&claims(extra)), Err(TokenError::InvalidClaims), "{extra}");
    }
    let deep = claims(&format!(r#","x":{}{}"#, "[".repeat(40), "]".repeat(40)));
    assert_eq!(verdict(&deep), Err(TokenError::InvalidClaims));
}

#[test]
fn a_token_of_another_issuer_is_refused() {
    for other in ["other", "Shop", "shop ", "shop/", ""] {
        let body = claims("").replace("shop", other);
        assert_eq!(verdict(&body), Err(TokenError::ForeignIssuer), "{other}");
    }
}

#[test]
fn a_token_for_somebody_else_is_refused() {
    let aud = |aud: &str| claims("").replace(r#""orders""#, aud);
    assert_eq!(verdict(&aud(r#"["billing","orders"]"#)), Ok(()));
    for other in [r#""billing""#, r#"["billing"]"#, "[]", r#""orders2""#, r#""""#] {
        assert_eq!(verdict(&aud(other)), Err(TokenError::ForeignAudience), "{other}");
    }
    let nobody = claims("").replace(r#""aud""#, r#""x""#);
    assert_eq!(verdict(&nobody), Err(TokenError::ForeignAudience));
}

#[test]
fn the_audience_is_named_or_waived_in_so_many_words() {
    let error = Tokens::builder("shop", key()).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(Tokens::builder("shop", key()).audience("").build().is_err());
    assert!(Tokens::builder("shop", key()).audience("a").any_audience().build().is_err());
    let any = Tokens::builder("shop", key()).any_audience().build().unwrap();
    let own = any.issue(&Claims::new("alice"), Duration::from_secs(9)).unwrap();
    assert!(any.verify(&own).unwrap().audience.is_empty());
    let (orders, _clock) = tokens();
    assert_eq!(orders.verify(&own), Err(TokenError::ForeignAudience));
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
fn the_leeway_can_be_zero_and_is_at_most_a_minute() {
    let (zero, clock) = builder(key());
    let tokens = zero.leeway(Duration::ZERO).build().unwrap();
    clock.advance(Duration::from_secs(100) - Duration::from_micros(1));
    assert!(tokens.verify(&token(HEADER, &claims(""))).is_ok());
    clock.advance(Duration::from_micros(1));
    assert_eq!(tokens.verify(&token(HEADER, &claims(""))), Err(TokenError::Expired));
    assert!(builder(key()).0.leeway(Duration::from_secs(60)).build().is_ok());
    let error = builder(key()).0.leeway(Duration::from_millis(60_001)).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[test]
fn a_token_is_valid_from_nbf_minus_leeway() {
    let (tokens, clock) = tokens();
    let early = token(HEADER, &claims(&format!(r#","nbf":{}"#, NOW_S + 31)));
    assert_eq!(tokens.verify(&early), Err(TokenError::NotYetValid));
    clock.advance(Duration::from_secs(1));
    assert!(tokens.verify(&early).is_ok());
}

/// RFC 7519 does not make `iat` a lower bound.
#[test]
fn a_token_of_a_replica_whose_clock_is_ahead_is_taken() {
    let life = Duration::from_secs(100);
    let replica = || {
        let (builder, clock) = builder(key());
        (builder.leeway(Duration::ZERO).life_max(life).build().unwrap(), clock)
    };
    let (here, _clock) = replica();
    for ahead_s in [2, 10 * 60, 20 * 60] {
        let (there, clock) = replica();
        clock.advance(Duration::from_secs(ahead_s));
        let token = there.issue(&Claims::new("alice"), life).unwrap();
        assert!(here.verify(&token).is_ok(), "{ahead_s} s");
    }
    let date = |iat: u64, exp: u64| {
        let claims = claims(&format!(r#","iat":{iat}"#)).replace("1000100", &exp.to_string());
        here.verify(&token(HEADER, &claims)).map(|_verified| ())
    };
    assert_eq!(date(NOW_S + 86_400, NOW_S + 100), Ok(()), "it does not even count");
    // But a clock that is years ahead makes no token for years.
    let ahead = NOW_S + 20 * 60;
    assert_eq!(date(ahead + 1, ahead + 100), Ok(()));
    assert_eq!(date(ahead + 1, ahead + 101), Err(TokenError::TooLongLived));
    assert_eq!(date(NOW_S + 1_000_000, NOW_S + 1_000_100), Err(TokenError::TooLongLived));
}

#[test]
fn each_claim_that_others_leave_out_is_a_setting() {
    let without = |name: &str| token(HEADER, &claims("").replace(&format!(r#""{name}""#), "\"x\""));
    let (no_issuer, _clock) = builder(key());
    let no_issuer = no_issuer.allow_no_issuer().build().unwrap();
    assert!(no_issuer.verify(&without("iss")).is_ok());
    assert_eq!(no_issuer.verify(&without("sub")), Err(TokenError::InvalidClaims));
    let other = token(HEADER, &claims("").replace("shop", "other"));
    assert_eq!(no_issuer.verify(&other), Err(TokenError::ForeignIssuer));
    let null = token(HEADER, &claims("").replace(r#""shop""#, "null"));
    assert_eq!(no_issuer.verify(&null), Err(TokenError::InvalidClaims));

    let (no_subject, _clock) = builder(key());
    let no_subject = no_subject.allow_no_subject().build().unwrap();
    assert_eq!(no_subject.verify(&without("sub")).unwrap().subject, "");
    assert_eq!(no_subject.verify(&without("iss")), Err(TokenError::InvalidClaims));
    for empty in [r#""""#, "null"] {
        let token = token(HEADER, &claims("").replace(r#""alice""#, empty));
        assert_eq!(no_subject.verify(&token), Err(TokenError::InvalidClaims), "{empty}");
    }
    let error = no_subject.issue(&Claims::new(""), Duration::from_secs(9)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn dates_before_1970_are_dates_where_a_service_says_so() {
    let early = builder(key()).0.allow_early_dates().build().unwrap();
    let verdict = |claims: &str| early.verify(&token(HEADER, claims)).map(|_verified| ());
    for nbf in ["-1", "-1.5", "-1e11", "0", "0.5", "1e3"] {
        assert_eq!(verdict(&claims(&format!(r#","nbf":{nbf}"#))), Ok(()), "{nbf}");
    }
    for bad in ["-1e13", "1e13", "null", "\"-1\""] {
        let claims = claims(&format!(r#","nbf":{bad}"#));
        assert_eq!(verdict(&claims), Err(TokenError::InvalidClaims), "{bad}");
    }
    assert_eq!(verdict(&claims("").replace("1000100", "-1")), Err(TokenError::Expired));
    assert_eq!(verdict(&claims(r#","iat":-1"#)), Err(TokenError::TooLongLived));
}

#[test]
fn a_life_over_the_maximum_is_refused_and_never_issued() {
    let tokens = builder(key()).0.life_max(Duration::from_secs(100)).build().unwrap();
    let iat = |iat: u64| token(HEADER, &claims(&format!(r#","iat":{iat}"#)));
    assert!(tokens.verify(&iat(NOW_S)).is_ok());
    assert_eq!(tokens.verify(&iat(NOW_S - 1)), Err(TokenError::TooLongLived));
    // Without `iat`, what counts is the time from now.
    assert!(tokens.verify(&token(HEADER, &claims(""))).is_ok());
    let longer = claims("").replace("1000100", "1000101");
    assert_eq!(tokens.verify(&token(HEADER, &longer)), Err(TokenError::TooLongLived));

    let issue = |life| tokens.issue(&Claims::new("alice"), life);
    assert!(tokens.verify(&issue(Duration::from_secs(100)).unwrap()).is_ok());
    for life in [Duration::from_millis(100_001), Duration::ZERO, Duration::MAX] {
        assert_eq!(issue(life).unwrap_err().kind(), ErrorKind::Invalid, "{life:?}");
    }
    for life_max in [Duration::ZERO, Duration::MAX] {
        assert!(builder(key()).0.life_max(life_max).build().is_err());
    }
}

#[test]
fn whatever_is_issued_passes() {
    let (tokens, _clock) = tokens();
    let life = Duration::from_millis(1);
    for bad in [
        Claims::new(""),
        Claims::new("alice").id(""),
        Claims::new("alice")
            .extra(&serde_json::from_str::<serde_json::Value>(&deep()).unwrap())
            .unwrap(),
    ] {
        assert_eq!(tokens.issue(&bad, life).unwrap_err().kind(), ErrorKind::Invalid);
    }
    let verified = tokens.verify(&tokens.issue(&Claims::new("alice"), life).unwrap()).unwrap();
    let other = tokens.verify(&tokens.issue(&Claims::new("alice"), life).unwrap()).unwrap();
    assert_eq!(verified.id.as_ref().unwrap().len(), 22, "128 random bits");
    assert_ne!(verified.id, other.id);
    assert_eq!(verified.audience, ["orders"]);
}

fn deep() -> String {
    format!(r#"{{"x":{}{}}}"#, "[".repeat(20), "]".repeat(20))
}

#[test]
fn claims_of_ones_own_come_back_and_cannot_stand_in_for_others() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Access {
        scope: String,
        levels: Vec<u8>,
    }
    let (tokens, _clock) = tokens();
    let access = Access { scope: "orders:read".to_owned(), levels: vec![1, 2] };
    let claims = Claims::new("alice").extra(&access).unwrap();
    let token = tokens.issue(&claims, Duration::from_secs(9)).unwrap();
    let verified = tokens.verify(&token).unwrap();
    assert_eq!(verified.extra::<Access>(), Ok(access));
    assert_eq!(verified.extra::<Vec<u8>>(), Err(TokenError::InvalidClaims));
    for name in ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "sid"] {
        let stolen = std::collections::BTreeMap::from([(name, 1)]);
        assert_eq!(Claims::new("alice").extra(&stolen).unwrap_err().kind(), ErrorKind::Invalid);
    }
    assert!(Claims::new("alice").extra(&"no object").is_err());
}

#[test]
fn a_dated_fraction_is_a_date() {
    let body = claims("").replace("1000100", "1.0000995e6");
    let (tokens, clock) = tokens();
    let token = signed_by(&key(), HEADER, &body);
    clock.advance(Duration::from_millis(129_499));
    assert!(tokens.verify(&token).is_ok());
    clock.advance(Duration::from_millis(1));
    assert_eq!(tokens.verify(&token), Err(TokenError::Expired));
}
