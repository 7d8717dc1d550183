use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::backend::{Error, ErrorKind, Result};

/// Named values beside a session's typed state, which code that does not know that type can read
/// and change: a theme, a counter, a set of flags. `Debug` shows how many there are.
///
/// ```
/// use steadfast::session::{Attribute, Attributes};
///
/// let mut attributes = Attributes::default();
/// attributes.set("theme", "dark")?;
/// assert_eq!(attributes.get("theme"), Some(&Attribute::from("dark")));
/// assert_eq!(attributes.increment("visits", 1)?, 1);
/// assert!(attributes.increment("theme", 1).is_err());
/// # Ok::<(), steadfast::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes(BTreeMap<String, Attribute>);

/// One named value. `Debug` shows its kind.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Attribute {
    /// Any bytes.
    Bytes(Vec<u8>),
    /// True or false.
    Flag(bool),
    /// A number; increments of it add up.
    Integer(i64),
    /// Members, each of them once; changes of different members do not disturb each other.
    Set(BTreeSet<String>),
    /// Text.
    Text(String),
}

impl Attributes {
    /// The most attributes a session can have.
    pub const COUNT_MAX: usize = 256;
    /// The longest name in bytes.
    pub const NAME_LEN_MAX: usize = 128;

    /// The value under a name.
    pub fn get(&self, name: &str) -> Option<&Attribute> {
        self.0.get(name)
    }

    /// All of them, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Attribute)> {
        self.0.iter().map(|(name, attribute)| (name.as_str(), attribute))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts a value under a name, whatever was there.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a name of 0 or over 128 bytes, [`ErrorKind::TooLarge`] for a
    /// 257th attribute.
    pub fn set(&mut self, name: &str, value: impl Into<Attribute>) -> Result<()> {
        *self.slot(name, || Attribute::Flag(false))? = value.into();
        Ok(())
    }

    /// Removes what is under a name, and gives it.
    pub fn remove(&mut self, name: &str) -> Option<Attribute> {
        self.0.remove(name)
    }

    /// Removes all of them.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds to an integer, which is 0 before its first use; gives the sum.
    ///
    /// # Errors
    ///
    /// As [`set`](Attributes::set), and [`ErrorKind::Invalid`] if something else is under the name
    /// or the sum does not fit.
    pub fn increment(&mut self, name: &str, by: i64) -> Result<i64> {
        let Attribute::Integer(number) = self.slot(name, || Attribute::Integer(0))? else {
            return Err(of_another_kind("an integer"));
        };
        let sum = number.checked_add(by).ok_or_else(|| {
            let detail = "the sum of an attribute does not fit 64 bits; nothing was changed";
            Error::new(ErrorKind::Invalid, detail)
        })?;
        *number = sum;
        Ok(sum)
    }

    /// Adds a member to a set; false if it was there.
    ///
    /// # Errors
    ///
    /// As [`set`](Attributes::set), and [`ErrorKind::Invalid`] if something else is under the
    /// name.
    pub fn insert(&mut self, name: &str, member: &str) -> Result<bool> {
        match self.slot(name, || Attribute::Set(BTreeSet::new()))? {
            Attribute::Set(members) => Ok(members.insert(member.to_owned())),
            _ => Err(of_another_kind("a set")),
        }
    }

    /// Takes a member out of a set; false if it was not there.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if something else than a set is under the name.
    pub fn discard(&mut self, name: &str, member: &str) -> Result<bool> {
        match self.0.get_mut(name) {
            None => Ok(false),
            Some(Attribute::Set(members)) => Ok(members.remove(member)),
            Some(_) => Err(of_another_kind("a set")),
        }
    }

    fn slot(&mut self, name: &str, first: impl FnOnce() -> Attribute) -> Result<&mut Attribute> {
        if !(1..=Self::NAME_LEN_MAX).contains(&name.len()) {
            let detail = format!(
                "the name of an attribute has 1 to {} bytes, not {}",
                Self::NAME_LEN_MAX,
                name.len()
            );
            return Err(Error::new(ErrorKind::Invalid, detail));
        }
        let count = self.0.len();
        match self.0.entry(name.to_owned()) {
            Entry::Occupied(slot) => Ok(slot.into_mut()),
            Entry::Vacant(slot) if count < Self::COUNT_MAX => Ok(slot.insert(first())),
            Entry::Vacant(_) => {
                let detail = format!(
                    "a session has at most {} attributes; remove some, or keep them in its state",
                    Self::COUNT_MAX
                );
                Err(Error::new(ErrorKind::TooLarge, detail))
            }
        }
    }
}

fn of_another_kind(asked: &str) -> Error {
    let detail = format!("the attribute is not {asked}; nothing was changed");
    Error::new(ErrorKind::Invalid, detail)
}

impl From<&str> for Attribute {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Attribute {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Attribute {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<bool> for Attribute {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<Vec<u8>> for Attribute {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attributes({})", self.len())
    }
}

impl fmt::Debug for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bytes(_) => "Bytes",
            Self::Flag(_) => "Flag",
            Self::Integer(_) => "Integer",
            Self::Set(_) => "Set",
            Self::Text(_) => "Text",
        })
    }
}
