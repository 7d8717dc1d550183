//! Writes of several records that belong together.

use crate::Store;
use crate::backend::{
    Entry, Error, ErrorKind, Key, Result, Transacted, Transactions, Version, Write, Written,
};

use super::Fate;

impl Store {
    /// Makes writes that belong together, one of which makes the record `born`, under a key that
    /// nobody else can know. Gives the version of that record; `None` if somebody else was faster.
    ///
    /// Where the backend can make them at once, all are made or none. What it cannot it makes in
    /// their order, each only after the one before it; if one is refused or fails, what was born
    /// is removed again. So each must do no harm if the next is not made, and the last one decides.
    /// If this is cut off, what was born stays as a record whose key nobody has.
    ///
    /// # Errors
    ///
    /// What the store says; ambiguous if some of the writes were made.
    pub(crate) async fn bear(&self, born: &Key, writes: Vec<Write>) -> Result<Option<Version>> {
        let mut version = None;
        for (at, step) in self.steps(writes).into_iter().enumerate() {
            let place = step.iter().position(|write| write.key() == born);
            match self.make(step, born).await {
                Ok(Transacted::Applied { versions }) => {
                    let made = place.and_then(|place| versions.get(place).copied().flatten());
                    version = version.or(made);
                }
                Ok(Transacted::Refused { .. }) => {
                    if version.is_some() {
                        self.delete(born).await.map_err(Error::ambiguous)?;
                    }
                    return Ok(None);
                }
                Err(error) if at == 0 => return Err(error),
                Err(error) => {
                    // After an ambiguous one the last write may be made: what was born has to stay.
                    if version.is_some() && !error.is_ambiguous() {
                        drop(self.delete(born).await);
                    }
                    return Err(error.ambiguous());
                }
            }
        }
        version.map(Some).ok_or_else(|| {
            let detail = "the backend broke its contract: a record that it made has no version";
            Error::new(ErrorKind::Other, detail)
        })
    }

    /// The writes in their order, as many in one step as the backend can make at once.
    fn steps(&self, writes: Vec<Write>) -> Vec<Vec<Write>> {
        let mut steps: Vec<Vec<Write>> = Vec::new();
        for write in writes {
            match steps.last_mut() {
                Some(step) if self.can_transact(step.iter().chain([&write])) => step.push(write),
                _ => steps.push(vec![write]),
            }
        }
        steps
    }

    async fn make(&self, mut step: Vec<Write>, born: &Key) -> Result<Transacted> {
        let write = match step.pop() {
            Some(write) if step.is_empty() => write,
            last => {
                step.extend(last);
                return self.transact_birth(step, born).await;
            }
        };
        Ok(match self.settle(write).await? {
            Written::Applied { version } => Transacted::Applied { versions: vec![version] },
            Written::Refused { current } => Transacted::Refused { index: 0, current },
        })
    }

    /// Makes one write; it is made twice if the first reply was lost. No other writer of its key
    /// may store the same bytes.
    pub(crate) async fn settle(&self, write: Write) -> Result<Written> {
        let fate = |now: Option<&Entry>| {
            Ok(match (&write, now) {
                (Write::Put { value, .. }, Some(now)) if now.value == *value => {
                    Fate::Applied(Some(now.version))
                }
                (Write::Delete { .. }, None) => Fate::Applied(None),
                _ => Fate::Lost,
            })
        };
        self.write_settled(None, write.clone(), fate).await
    }

    /// A transaction, one of whose writes makes `born`; it is made twice if the first reply was
    /// lost. If that record is there by then as it was made, the first was applied. If it is there
    /// otherwise, others have gone on from it already: that counts as a lost race, too.
    async fn transact_birth(&self, writes: Vec<Write>, born: &Key) -> Result<Transacted> {
        let error = match self.transact(&writes).await {
            Err(error) if self.may_settle(born, &error) => error,
            answer => return answer,
        };
        let (index, current) = match self.transact(&writes).await {
            Ok(Transacted::Refused { index, current }) => (index, current),
            Ok(applied) => return Ok(applied),
            Err(_again) => return Err(error),
        };
        // Only this tells what became of the first one.
        let Ok(now) = self.entry(born).await else { return Err(error) };
        let made = |write: &Write| match (write, &now) {
            (Write::Put { key, value, .. }, Some(now)) => key == born && *value == now.value,
            _ => false,
        };
        if !writes.iter().any(made) {
            return Ok(Transacted::Refused { index, current });
        }
        let version = now.as_ref().map(|now| now.version);
        let versions = writes.iter().map(|write| version.filter(|_| made(write))).collect();
        Ok(Transacted::Applied { versions })
    }

    /// Whether the backend can change several keys of one group together.
    pub(crate) fn transacts(&self) -> bool {
        self.info().capabilities.transactions >= Transactions::SameGroup
    }

    /// Whether the backend can make these writes together.
    fn can_transact<'a>(&self, writes: impl IntoIterator<Item = &'a Write>) -> bool {
        let mut writes = writes.into_iter();
        match (self.info().capabilities.transactions, writes.next()) {
            (Transactions::Any, _) | (_, None) => true,
            (Transactions::SameGroup, Some(first)) => {
                writes.all(|write| write.key().group() == first.key().group())
            }
            (Transactions::None, Some(_)) => false,
        }
    }
}
