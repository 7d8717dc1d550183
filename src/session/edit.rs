use std::fmt;

use super::{Attribute, Attributes, SessionError};

/// Changes of a session's attributes, as data: made now or later, on whatever the session holds
/// by then.
///
/// If others changed the session meanwhile, the edit is made on what they left: changes of
/// different attributes all stand, increments add up, members of sets are kept apart, and of two
/// values for one attribute the later one counts, unless [`expect`](Edit::expect) says otherwise.
/// An edit that changes nothing writes nothing. `Debug` shows its length.
///
/// ```
/// # use steadfast::session::{Attribute, Edit};
/// # use steadfast::{Sessions, Store};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = Store::builder(steadfast::connect("memory:").await?).build()?;
/// # let sessions: Sessions<()> = Sessions::builder(&store).build()?;
/// let id = sessions.create(()).await?.id;
/// sessions.edit(&id, &Edit::new().set("theme", "dark").increment("visits", 1)).await?;
///
/// let session = sessions.load(&id).await?.expect("it is there");
/// assert_eq!(session.attributes.get("visits"), Some(&Attribute::from(1)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Edit(Vec<Op>);

#[derive(Clone, PartialEq, Eq)]
enum Op {
    Clear,
    Discard(String, String),
    Expect(String, Option<Attribute>),
    Increment(String, i64),
    Insert(String, String),
    Remove(String),
    Set(String, Attribute),
}

impl Edit {
    /// No change yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// True if there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts a value under a name.
    #[must_use]
    pub fn set(self, name: impl Into<String>, value: impl Into<Attribute>) -> Self {
        self.and(Op::Set(name.into(), value.into()))
    }

    /// Removes what is under a name.
    #[must_use]
    pub fn remove(self, name: impl Into<String>) -> Self {
        self.and(Op::Remove(name.into()))
    }

    /// Adds to an integer.
    #[must_use]
    pub fn increment(self, name: impl Into<String>, by: i64) -> Self {
        self.and(Op::Increment(name.into(), by))
    }

    /// Adds a member to a set.
    #[must_use]
    pub fn insert(self, name: impl Into<String>, member: impl Into<String>) -> Self {
        self.and(Op::Insert(name.into(), member.into()))
    }

    /// Takes a member out of a set.
    #[must_use]
    pub fn discard(self, name: impl Into<String>, member: impl Into<String>) -> Self {
        self.and(Op::Discard(name.into(), member.into()))
    }

    /// Removes all attributes, those of others too.
    #[must_use]
    pub fn clear(self) -> Self {
        self.and(Op::Clear)
    }

    /// Nothing of the edit is done unless this value, or none, is under the name at this point of
    /// it.
    #[must_use]
    pub fn expect(self, name: impl Into<String>, value: Option<Attribute>) -> Self {
        self.and(Op::Expect(name.into(), value))
    }

    /// This edit, then the other one.
    #[must_use]
    pub fn then(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    fn and(mut self, op: Op) -> Self {
        self.0.push(op);
        self
    }

    /// Makes the changes, in order. On an error the attributes may be half changed: drop them.
    pub(super) fn apply(&self, to: &mut Attributes) -> Result<(), SessionError> {
        for op in &self.0 {
            match op {
                Op::Clear => to.clear(),
                Op::Discard(name, member) => drop(to.discard(name, member)?),
                Op::Expect(name, value) if to.get(name) != value.as_ref() => {
                    return Err(SessionError::Changed);
                }
                Op::Expect(..) => {}
                Op::Increment(name, by) => drop(to.increment(name, *by)?),
                Op::Insert(name, member) => drop(to.insert(name, member)?),
                Op::Remove(name) => drop(to.remove(name)),
                Op::Set(name, value) => to.set(name, value.clone())?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Edit({} changes)", self.0.len())
    }
}
