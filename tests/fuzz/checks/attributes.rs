//! The attributes of a session.

use steadfast::session::{Attribute, Attributes};

use super::bounded;

/// What is decoded comes back, and no change of it goes beyond the limits.
pub(super) fn check(input: &[u8]) {
    let decoded = bounded(input.len(), || postcard::take_from_bytes::<Attributes>(input));
    let Ok((mut attributes, changes)) = decoded else { return };
    let bytes = bounded(input.len(), || postcard::to_allocvec(&attributes)).unwrap();
    assert!(bytes.len() <= input.len());
    assert_eq!(postcard::from_bytes(&bytes), Ok(attributes.clone()));
    for &[what, name, value] in changes.as_chunks().0.iter().take(CHANGES_MAX) {
        make(&mut attributes, what, name, value);
    }
}

/// Each one copies the attributes, and a few tell as much as many.
const CHANGES_MAX: usize = 16;

fn make(attributes: &mut Attributes, what: u8, name: u8, value: u8) {
    // Some of these are too long, and one is empty.
    let name = "n".repeat(usize::from(name));
    let before = attributes.clone();
    let (present, is_full) = (before.get(&name).is_some(), before.len() >= Attributes::COUNT_MAX);
    let is_named = (1..=Attributes::NAME_LEN_MAX).contains(&name.len());
    let fits = is_named && (present || !is_full);
    let by = i64::from_be_bytes([value; 8]);
    let member = value.to_string();
    match what % 5 {
        0 => assert_eq!(attributes.set(&name, by).is_ok(), fits),
        1 => match (attributes.increment(&name, by), before.get(&name)) {
            (Ok(sum), None) => assert!(fits && sum == by),
            (Ok(sum), Some(Attribute::Integer(old))) => assert_eq!(Some(sum), old.checked_add(by)),
            (Ok(_), Some(_)) => panic!("something else was incremented"),
            (Err(_), _) => assert_eq!(*attributes, before),
        },
        2 => match attributes.insert(&name, &member) {
            Ok(_) => assert!(fits && has(attributes, &name, &member)),
            Err(_) => assert_eq!(*attributes, before),
        },
        3 => match attributes.discard(&name, &member) {
            Ok(there) => {
                assert_eq!(there, has(&before, &name, &member));
                assert!(!has(attributes, &name, &member));
            }
            Err(_) => assert_eq!(*attributes, before),
        },
        _ => assert_eq!(attributes.remove(&name).as_ref(), before.get(&name)),
    }
    assert!(attributes.len() <= before.len().max(Attributes::COUNT_MAX));
}

fn has(attributes: &Attributes, name: &str, member: &str) -> bool {
    match attributes.get(name) {
        Some(Attribute::Set(members)) => members.contains(member),
        _ => false,
    }
}
