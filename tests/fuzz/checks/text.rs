//! What is a line of text.

use steadfast::ErrorKind;
use steadfast::backend::{Group, Key, Namespace};
use steadfast::session::SessionId;

use super::bounded;
use super::world::block_on;

/// Whether a text is the one form of a session id: base64url of 32 bytes, and of 16 more.
pub(super) fn is_id(text: &str) -> bool {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digits = text.bytes().map(|byte| ALPHABET.iter().position(|digit| *digit == byte));
    let Some(digits) = digits.collect::<Option<Vec<_>>>() else { return false };
    let Some((secret, tag)) = digits.split_at_checked(43) else { return false };
    let tag_fits = tag.is_empty() || (tag.len() == 22 && tag[21] % 16 == 0);
    secret[42] % 4 == 0 && tag_fits
}

/// Only the exact form is read, it comes back, and `Debug` does not show it.
pub(super) fn check_id(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let id = bounded(input.len(), || text.parse::<SessionId>());
    assert_eq!(id.is_ok(), is_id(text));
    match id {
        Ok(id) => {
            assert_eq!(id.expose(), text);
            assert!(!format!("{id:?}").contains(&text[..8]));
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::Invalid),
    }
}

/// A key that is read back from a store is of its parts and of nothing else.
pub(super) fn check_store_key(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match bounded(input.len(), || Key::parse(text)) {
        Ok(key) => {
            assert_eq!(key.as_str(), text);
            let namespace = Namespace::new(key.namespace()).unwrap();
            let group = Group::new(key.group()).unwrap();
            assert_eq!(Key::new(&namespace, &group, key.name()).unwrap(), key);
            assert!(namespace.contains(&key));
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::Invalid),
    }
}

/// A URL opens the store it names, or is refused without being repeated: it may hold a password.
pub(super) fn check_url(input: &[u8]) {
    let Ok(url) = std::str::from_utf8(input) else { return };
    // The builds that know these would open files.
    if ["redb:", "sled:"].iter().any(|scheme| url.starts_with(scheme)) {
        return;
    }
    let error = match bounded(input.len(), || block_on(steadfast::connect(url))) {
        Ok(backend) => {
            assert_eq!(backend.info().name, "memory");
            assert_eq!(url.trim_end_matches('&').trim_end_matches('?'), "memory:");
            return;
        }
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::Config);
    // Nothing of the URL is in the message, unless it is the name of an option.
    let option = url.strip_prefix("memory:?").and_then(|options| {
        let option = options.split('&').find(|option| !option.is_empty())?;
        Some(option.split_once('=').map_or("", |(name, _value)| name))
    });
    let innocent = option.map_or("nowhere:".to_owned(), |name| format!("memory:?{name}=1"));
    let expected = block_on(steadfast::connect(&innocent)).unwrap_err();
    assert_eq!(error.to_string(), expected.to_string());
}
