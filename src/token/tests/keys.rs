//! Keys: strong enough, bound to one algorithm, and replaced without a restart.

use std::time::{Duration, UNIX_EPOCH};

use crate::backend::ErrorKind;

use super::super::{Algorithm, Claims, Key, KeyRing, TokenError, Tokens};
use super::{HEADER, NOW_S, SECRET, builder, claims, key, signed_by, tokens};

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_secret_shorter_than_the_hash_is_refused() {
    for (make, len) in
        [(Key::hs256 as fn(&[u8]) -> crate::Result<Key>, 32), (Key::hs384, 48), (Key::hs512, 64)]
    {
        assert!(make(&SECRET[..len]).is_ok());
        for short in [0, len - 1] {
            assert_eq!(make(&SECRET[..short]).unwrap_err().kind(), ErrorKind::Config);
        }
    }
}

#[test]
fn another_secret_is_another_key() {
    let (tokens, _clock) = tokens();
    let other = Key::hs256(&[7; 32]).unwrap();
    let verdict = tokens.verify(&signed_by(&other, HEADER, claims("")));
    assert_eq!(verdict, Err(TokenError::BadSignature));
    let (builder, _clock) = builder(other);
    let issued = builder.build().unwrap().issue(&Claims::new("alice"), MINUTE).unwrap();
    assert_eq!(tokens.verify(&issued), Err(TokenError::UnknownKey));
}

#[test]
fn a_key_serves_its_own_algorithm_only() {
    // One secret, three keys: what one signs, the others do not take, whatever the header says.
    let keys = [Key::hs256(SECRET), Key::hs384(SECRET), Key::hs512(SECRET)].map(Result::unwrap);
    for (at, signer) in keys.iter().enumerate() {
        for (other, verifier) in keys.iter().enumerate() {
            let tokens = builder(verifier.clone()).0.build().unwrap();
            for header in keys.iter().map(|key| key.algorithm().name()) {
                for kid in [String::new(), format!(r#","kid":"{}""#, verifier.kid())] {
                    let header = format!(r#"{{"alg":"{header}","typ":"JWT"{kid}}}"#);
                    let verdict = tokens.verify(&signed_by(signer, &header, claims("")));
                    let own = header.contains(signer.algorithm().name()) && at == other;
                    assert_eq!(verdict.is_ok(), own, "{header} by {signer:?} for {verifier:?}");
                }
            }
        }
    }
    assert_eq!(keys[1].algorithm(), Algorithm::Hs384);
}

#[test]
fn after_a_rotation_old_tokens_pass_until_the_old_key_ends() {
    let (tokens, clock) = tokens();
    let old = tokens.issue(&Claims::new("alice"), Duration::from_secs(600)).unwrap();
    let clone = tokens.clone();
    let end = UNIX_EPOCH + Duration::from_secs(NOW_S) + 5 * MINUTE;
    let new = Key::hs512(SECRET).unwrap().named("2026-11").unwrap();
    tokens.replace_keys(KeyRing::new([new, key().until(end)]).unwrap());

    let new = clone.issue(&Claims::new("alice"), Duration::from_secs(600)).unwrap();
    for token in [&old, &new] {
        assert!(clone.verify(token).is_ok());
    }
    clock.advance(5 * MINUTE);
    assert_eq!(clone.verify(&old), Err(TokenError::UnknownKey));
    assert!(clone.verify(&new).is_ok());
}

#[test]
fn a_key_that_has_ended_signs_nothing() {
    let ended = key().until(UNIX_EPOCH + Duration::from_secs(NOW_S));
    let tokens = builder(ended).0.build().unwrap();
    let error = tokens.issue(&Claims::new("alice"), MINUTE).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[test]
fn a_ring_has_keys_of_different_names_and_not_too_many() {
    let twin = Key::hs256(&[7; 32]).unwrap().named(key().kid()).unwrap();
    assert_eq!(KeyRing::new([key(), twin]).unwrap_err().kind(), ErrorKind::Config);
    assert!(KeyRing::new([]).is_err());
    let keys = |count: usize| (0..count).map(|at| key().named(&at.to_string()).unwrap());
    assert!(KeyRing::new(keys(64)).is_ok());
    assert!(KeyRing::new(keys(65)).is_err());
    for kid in ["", &"k".repeat(257)] {
        assert_eq!(key().named(kid).unwrap_err().kind(), ErrorKind::Config);
    }
}

#[test]
fn an_issuer_or_type_without_a_name_is_refused() {
    let empty = Tokens::builder("", key()).any_audience();
    assert_eq!(empty.build().unwrap_err().kind(), ErrorKind::Config);
    assert!(builder(key()).0.typ("").build().is_err());
}
