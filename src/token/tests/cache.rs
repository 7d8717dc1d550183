//! The cache of good signatures must not be a way around anything but the arithmetic.

use std::time::Duration;

use super::super::cache::SignatureCache;
use super::super::{Claims, Key, TokenError};
use super::{SECRET, builder, key};

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_remembered_token_is_still_checked_against_clock_and_keys() {
    let (builder, clock) = builder(key());
    let tokens = builder.cache(100).build().unwrap();
    let token = tokens.issue(&Claims::new("alice"), MINUTE).unwrap();
    assert!(tokens.verify(&token).is_ok());
    assert!(tokens.verify(&token).is_ok());

    // Another token with the remembered one's header and claims is not remembered.
    let (signed, _signature) = token.rsplit_once('.').unwrap();
    assert_eq!(tokens.verify(&format!("{signed}.AAAA")), Err(TokenError::BadSignature));
    // Neither is the same token under another key of the same name.
    let other = Key::hs256(&[7; 32]).unwrap().named(key().kid()).unwrap();
    tokens.replace_keys(other);
    assert_eq!(tokens.verify(&token), Err(TokenError::BadSignature));
    tokens.replace_keys(Key::hs384(SECRET).unwrap());
    assert_eq!(tokens.verify(&token), Err(TokenError::UnknownKey));
    tokens.replace_keys(key());
    assert!(tokens.verify(&token).is_ok());

    clock.advance(MINUTE + Duration::from_secs(30));
    assert_eq!(tokens.verify(&token), Err(TokenError::Expired));
}

#[test]
fn a_signature_is_remembered_for_its_key_and_token_and_no_longer_than_the_token_lives() {
    let cache = SignatureCache::new(100);
    cache.keep(&key(), "a token", MINUTE);
    assert!(cache.has(&key(), "a token"));
    assert!(!cache.has(&key(), "another token"));
    assert!(!cache.has(&Key::hs384(SECRET).unwrap(), "a token"));
    cache.keep(&key(), "a token that ends", Duration::ZERO);
    assert!(!cache.has(&key(), "a token that ends"));
}
