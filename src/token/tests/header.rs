//! The header says which key, and nothing else that counts.

use std::time::Duration;

use super::super::{Claims, Key, KeyRing, TokenError};
use super::{builder, claims, key, signed_by, token, tokens};

#[test]
fn the_header_is_ours_or_refused() {
    let (tokens, _clock) = tokens();
    assert!(tokens.verify(&token(r#"{"typ":"jwt","alg":"HS256"}"#, &claims(""))).is_ok());
    for header in [
        r#"{"typ":"JWT"}"#,
        r#"{"alg":"HS256","typ":null}"#,
        r#"{"alg":"HS256","typ":["JWT"]}"#,
        r#"{"alg":["HS256"],"typ":"JWT"}"#,
        r#"{"alg":null,"typ":"JWT"}"#,
        r#"{"alg":"HS256","typ":"JWT","kid":null}"#,
        r#"{"alg":"HS256","typ":"JWT","kid":7}"#,
        r#"{"alg":"HS256","typ":"JWT","b64":false}"#,
        r#"{"alg":"HS256","typ":"JWT","b64":null}"#,
        r#"{"alg":"HS256","typ":"JWT","zip":"DEF"}"#,
        r#"{"alg":"HS256","typ":"JWT","enc":"A128GCM"}"#,
        r#"{"alg":"HS256","typ":"JWT","x5t":[[[[0]]]]}"#,
        "[]",
        "{}",
        "\"HS256\"",
    ] {
        let verdict = tokens.verify(&token(header, &claims("")));
        assert_eq!(verdict, Err(TokenError::UnsupportedHeader), "{header}");
    }
    let long = format!(r#"{{"alg":"HS256","typ":"JWT","x5t":"{}"}}"#, "x".repeat(1_024));
    let verdict = tokens.verify(&token(&long, &claims("")));
    assert_eq!(verdict, Err(TokenError::UnsupportedHeader));
}

#[test]
fn no_spelling_of_none_is_an_algorithm() {
    let (tokens, _clock) = tokens();
    for alg in ["none", "None", "NONE", "noNE", "", "hs256", "Hs256", "HS384", "HS512", "RS256"] {
        let header = format!(r#"{{"alg":"{alg}","typ":"JWT"}}"#);
        for token in [token(&header, &claims("")), {
            let signed = token(&header, &claims(""));
            let (unsigned, _signature) = signed.rsplit_once('.').unwrap();
            format!("{unsigned}.AA")
        }] {
            assert_eq!(tokens.verify(&token), Err(TokenError::UnsupportedHeader), "{alg}");
        }
    }
}

/// CVE-2025-59420, fast-jwt#591, and jsonwebtoken, which parses `crit` and does not look at it.
#[test]
fn a_critical_extension_is_refused_for_none_is_known() {
    let (tokens, _clock) = tokens();
    for crit in [r#"["exp"]"#, r#"["b64"]"#, r#"["x"]"#, "[]", "null", r#"["alg","alg"]"#, r#""x""#]
    {
        let header = format!(r#"{{"alg":"HS256","typ":"JWT","x":1,"crit":{crit}}}"#);
        let verdict = tokens.verify(&token(&header, &claims("")));
        assert_eq!(verdict, Err(TokenError::UnsupportedHeader), "{crit}");
        let header = format!(r#"{{"alg":"HS256","typ":"JWT","crit":{crit}}}"#);
        let verdict = tokens.verify(&token(&header, &claims("")));
        assert_eq!(verdict, Err(TokenError::UnsupportedHeader), "{crit}");
    }
}

#[test]
fn a_member_that_stands_twice_is_refused() {
    let (tokens, _clock) = tokens();
    for header in [
        r#"{"alg":"HS256","alg":"HS256","typ":"JWT"}"#,
        r#"{"alg":"none","alg":"HS256","typ":"JWT"}"#,
        r#"{"alg":"HS256","typ":"JWT","typ":"JWT"}"#,
        r#"{"alg":"HS256","typ":"JWT","\u0074yp":"JWT"}"#,
        r#"{"alg":"HS256","typ":"JWT","x5t":{"a":1,"a":2}}"#,
    ] {
        let verdict = tokens.verify(&token(header, &claims("")));
        assert_eq!(verdict, Err(TokenError::UnsupportedHeader), "{header}");
    }
}

#[test]
fn a_key_that_the_token_brings_is_never_used() {
    let (tokens, _clock) = tokens();
    let secret = [7; 32];
    let forger = Key::hs256(&secret).unwrap();
    let jwk = format!(r#""jwk":{{"kty":"oct","k":"{}"}}"#, crate::text::encode(&secret));
    for offer in [
        r#""jku":"https://evil.example/keys""#,
        r#""x5u":"https://evil.example/cert""#,
        r#""x5c":["AAAA"]"#,
        jwk.as_str(),
    ] {
        let header = format!(r#"{{"alg":"HS256","typ":"JWT",{offer}}}"#);
        let verdict = tokens.verify(&signed_by(&forger, &header, claims("")));
        assert_eq!(verdict, Err(TokenError::BadSignature), "{offer}");
        assert!(tokens.verify(&token(&header, &claims(""))).is_ok(), "{offer}");
        let header = format!(r#"{{"alg":"HS256","typ":"JWT","kid":"theirs",{offer}}}"#);
        let verdict = tokens.verify(&signed_by(&forger, &header, claims("")));
        assert_eq!(verdict, Err(TokenError::UnknownKey), "{offer}");
    }
}

/// RFC 7515, section 4. Cognito, Apple, Azure and Kubernetes issue such headers.
#[test]
fn what_a_header_says_besides_is_ignored_unless_it_is_critical() {
    let (tokens, _clock) = tokens();
    for other in [
        r#""nonce":"AAAA""#,
        r#""cty":"JWT""#,
        r#""iss":"other""#,
        r#""x5t":"AAAA","x5t#S256":"AAAA""#,
        r#""future":{"a":[1]}"#,
    ] {
        let header = format!(r#"{{"alg":"HS256","typ":"JWT",{other}}}"#);
        assert!(tokens.verify(&token(&header, &claims(""))).is_ok(), "{other}");
        let header = format!(r#"{{"alg":"HS256","typ":"JWT",{other},"crit":["nonce"]}}"#);
        let verdict = tokens.verify(&token(&header, &claims("")));
        assert_eq!(verdict, Err(TokenError::UnsupportedHeader), "{other}");
    }
}

#[test]
fn a_token_without_a_type_is_taken_where_none_was_asked_for() {
    let untyped = token(r#"{"alg":"HS256"}"#, &claims(""));
    assert!(tokens().0.verify(&untyped).is_ok());
    for typ in ["JWT", "at+jwt"] {
        let tokens = builder(key()).0.typ(typ).build().unwrap();
        assert_eq!(tokens.verify(&untyped), Err(TokenError::WrongType), "{typ}");
    }
}

/// Certificates (`x5c`) make a header long.
#[test]
fn a_longer_header_is_taken_where_longer_tokens_are() {
    let header = format!(r#"{{"alg":"HS256","x5c":["{}"]}}"#, "A".repeat(3_000));
    let long = token(&header, &claims(""));
    assert_eq!(tokens().0.verify(&long), Err(TokenError::TooLong));
    assert!(builder(key()).0.len_max(8_192).build().unwrap().verify(&long).is_ok());
    let tokens = builder(key()).0.len_max(5_000).build().unwrap();
    assert_eq!(tokens.verify(&long), Err(TokenError::UnsupportedHeader));
}

#[test]
fn a_kid_is_a_name_and_never_a_path_or_a_query() {
    let (tokens, _clock) = tokens();
    let verdict = |kid: &str| {
        let kid = serde_json::to_string(kid).unwrap();
        tokens.verify(&token(&format!(r#"{{"alg":"HS256","typ":"JWT","kid":{kid}}}"#), &claims("")))
    };
    assert!(verdict(key().kid()).is_ok());
    for kid in ["../../dev/null", "' OR 1=1 --", "key\0", "x", &key().kid().to_lowercase()] {
        assert_eq!(verdict(kid), Err(TokenError::UnknownKey), "{kid}");
    }
    for kid in ["", &"k".repeat(257)] {
        assert_eq!(verdict(kid), Err(TokenError::UnsupportedHeader), "{kid}");
    }
}

#[test]
fn a_token_of_another_kind_is_refused() {
    let access = builder(key()).0.typ("at+jwt").build().unwrap();
    let plain = tokens().0;
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"] {
        let token = token(&format!(r#"{{"alg":"HS256","typ":"{typ}"}}"#), &claims(""));
        assert!(access.verify(&token).is_ok(), "{typ}");
        assert_eq!(plain.verify(&token), Err(TokenError::WrongType), "{typ}");
    }
    let token = plain.issue(&Claims::new("alice"), Duration::from_secs(9)).unwrap();
    assert_eq!(access.verify(&token), Err(TokenError::WrongType));
    let token = access.issue(&Claims::new("alice"), Duration::from_secs(9)).unwrap();
    assert!(access.verify(&token).is_ok());
}

#[test]
fn a_missing_kid_is_taken_only_if_one_key_alone_could_be_meant() {
    let (one, two) = (key(), Key::hs256(&[7; 32]).unwrap());
    let other_kind = Key::hs512(&[8; 64]).unwrap();
    let header = super::HEADER;
    let by_one = signed_by(&one, header, claims(""));
    let ring = |keys: &[&Key]| {
        let ring = KeyRing::new(keys.iter().copied().cloned()).unwrap();
        builder(ring).0.build().unwrap()
    };
    assert!(ring(&[&one, &other_kind]).verify(&by_one).is_ok());
    assert_eq!(ring(&[&one, &two]).verify(&by_one), Err(TokenError::UnknownKey));
    assert_eq!(ring(&[&other_kind]).verify(&by_one), Err(TokenError::UnsupportedHeader));
}

#[test]
fn two_keys_of_one_kid_are_told_apart_by_their_algorithm() {
    let named = |key: Key| key.named("2026").unwrap();
    let one = named(key());
    let two = named(Key::hs512(&[8; 64]).unwrap());
    let (builder, clock) = builder(KeyRing::new([one.clone(), two.clone()]).unwrap());
    let tokens = builder.build().unwrap();
    let by = |key: &Key, alg: &str| {
        let header = format!(r#"{{"alg":"{alg}","kid":"2026"}}"#);
        tokens.verify(&signed_by(key, &header, claims(""))).map(|_verified| ())
    };
    assert_eq!(by(&one, "HS256"), Ok(()));
    assert_eq!(by(&two, "HS512"), Ok(()));
    assert_eq!(by(&one, "HS512"), Err(TokenError::BadSignature));
    assert_eq!(by(&two, "HS256"), Err(TokenError::BadSignature));
    assert_eq!(by(&one, "HS384"), Err(TokenError::UnsupportedHeader));

    let end = std::time::UNIX_EPOCH + Duration::from_secs(super::NOW_S + 10);
    tokens.replace_keys(KeyRing::new([one.clone(), two.clone().until(end)]).unwrap());
    clock.advance(Duration::from_secs(10));
    let header = r#"{"alg":"HS512","kid":"2026"}"#;
    let verdict = tokens.verify(&signed_by(&two, header, claims("")));
    assert_eq!(verdict, Err(TokenError::UnsupportedHeader), "it has ended");
}
