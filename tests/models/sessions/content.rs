//! What a session of the model holds, and the real thing in its words.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use steadfast::State;
use steadfast::session::{Attribute, Attributes, Edit};

use super::generate::Change;

/// A session's state: who changed it, in their order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Trail(pub(super) Vec<u32>);

impl State for Trail {
    const SCHEMA: u16 = 1;
}

pub(super) type Named = BTreeMap<String, Plain>;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Plain {
    Number(i64),
    Set(BTreeSet<String>),
    Text(String),
}

/// Why an edit is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    Changed,
    Invalid,
}

/// What the attributes are after some changes.
pub(super) fn changed(mut named: Named, changes: &[Change]) -> Result<Named, Unfit> {
    for change in changes {
        match change {
            Change::Clear => named.clear(),
            Change::Discard(name, member) => match named.get_mut(&text(*name)) {
                None => {}
                Some(Plain::Set(members)) => drop(members.remove(&text(*member))),
                Some(_) => return Err(Unfit::Invalid),
            },
            Change::Expect(name, number) => {
                if named.get(&text(*name)) != number.map(Plain::Number).as_ref() {
                    return Err(Unfit::Changed);
                }
            }
            Change::Increment(name, by) => {
                match named.entry(text(*name)).or_insert(Plain::Number(0)) {
                    Plain::Number(number) => *number += by,
                    _ => return Err(Unfit::Invalid),
                }
            }
            Change::Insert(name, member) => {
                match named.entry(text(*name)).or_insert(Plain::Set(BTreeSet::new())) {
                    Plain::Set(members) => drop(members.insert(text(*member))),
                    _ => return Err(Unfit::Invalid),
                }
            }
            Change::Remove(name) => drop(named.remove(&text(*name))),
            Change::Set(name, value) => {
                drop(named.insert(text(*name), Plain::Text(text(*value))));
            }
        }
    }
    Ok(named)
}

pub(super) fn edit(changes: &[Change]) -> Edit {
    changes.iter().fold(Edit::new(), |edit, change| match change {
        Change::Clear => edit.clear(),
        Change::Discard(name, member) => edit.discard(text(*name), text(*member)),
        Change::Expect(name, number) => edit.expect(text(*name), number.map(Attribute::from)),
        Change::Increment(name, by) => edit.increment(text(*name), *by),
        Change::Insert(name, member) => edit.insert(text(*name), text(*member)),
        Change::Remove(name) => edit.remove(text(*name)),
        Change::Set(name, value) => edit.set(text(*name), text(*value)),
    })
}

pub(super) fn plain(attributes: &Attributes) -> Named {
    let plain = |attribute: &Attribute| match attribute {
        Attribute::Integer(number) => Plain::Number(*number),
        Attribute::Set(members) => Plain::Set(members.clone()),
        Attribute::Text(text) => Plain::Text(text.clone()),
        other => panic!("nobody made {other:?}"),
    };
    attributes.iter().map(|(name, attribute)| (name.to_owned(), plain(attribute))).collect()
}

fn text(number: u8) -> String {
    format!("n{number}")
}
