//! What is a line of text.

use steadfast::ErrorKind;
use steadfast::backend::{Group, Key, Namespace, StoreUrl};
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

/// The builds that know these would open files, and connections.
const OPENED: [&str; 6] = ["memcached", "redb", "redis", "sled", "unix", "valkey"];

/// A URL opens the store it names, or is refused without being repeated: it may hold a password.
pub(super) fn check_url(input: &[u8]) {
    let Ok(url) = std::str::from_utf8(input) else { return };
    if let Ok(mut url) = bounded(input.len(), || url.parse::<StoreUrl>()) {
        drop((url.servers(1), url.take_number("n", 0..=1), url.take_time("n"), url.finish()));
    }
    let lower = url.to_ascii_lowercase();
    if OPENED.iter().any(|scheme| lower.starts_with(scheme)) {
        return;
    }
    let error = match bounded(input.len(), || block_on(steadfast::connect(url))) {
        Ok(store) => {
            assert_eq!(store.info().name, "memory");
            assert!(lower.starts_with("memory:?") || lower == "memory:");
            return;
        }
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::Config);
    // Nothing of the URL is in the message, unless it is the name of an option.
    let told = error.to_string();
    let name = told.split("the option ").nth(1).map_or("", |rest| {
        let plain = |char: char| char.is_ascii_alphanumeric() || "-_".contains(char);
        &rest[..rest.find(|char| !plain(char)).unwrap_or(rest.len())]
    });
    let mut options = url.split(['?', '&']).filter_map(|option| option.split_once('='));
    assert!(name.is_empty() || options.any(|(given, _value)| given == name));
    let innocent = ["nowhere:", "memory:x", "memory://:", "memory://%@a", "memory:?o"]
        .into_iter()
        .chain(["memory:?=1", "memory:?o=1", "memory:?=1&=1", "memory:?o=1&o=1", "memory:?o=%"])
        .chain(["memory:?namespace=", "memory:?namespace=a&namespace=b", "memory:?limit="])
        .chain(["memory:?limit=1KiB", "memory:?limit=1KiB&limit=1KiB"])
        .chain([" memory:", "memory:%20x", "memory:x\ny"])
        .map(|url| block_on(steadfast::connect(url)).unwrap_err().to_string());
    let told = match name {
        "" | "limit" | "namespace" => told,
        name => told.replacen(&format!("the option {name}"), "the option o", 1),
    };
    assert!(innocent.into_iter().any(|innocent| innocent == told), "{told}");
}
