//! Mistakes in transactions and scans.

use std::num::NonZeroUsize;

use steadfast_backend::{
    Backend, Bytes, Cursor, Key, Namespace, Result, ScanPage, ScanRequest, Transacted,
    Transactions, Write, Written,
};

use crate::fault::Fault;
use crate::mutant::Mutant;

impl Mutant {
    pub(crate) async fn transact_wrongly(&self, writes: Vec<Write>) -> Result<Transacted> {
        self.inner.check().await?;
        self.refuse_empty(writes.len())?;
        let mut can = self.info.capabilities.clone();
        if [Fault::TransactsAnyway, Fault::GroupsMix].contains(&self.fault) {
            can.transactions = Transactions::Any;
        }
        if self.is(Fault::NeedsOneGroup) {
            can.transactions = Transactions::SameGroup;
        }
        let twice = self.is(Fault::TakesAKeyTwice);
        if !twice && !self.is(Fault::TakesLongBatches) && !self.is(Fault::TakesLongValues) {
            can.check_transaction(&writes)?;
        }
        let _turn = self.turn.lock().await;
        if twice || self.is(Fault::AppliesHalfOfARefusedOne) {
            return self.one_by_one(writes).await;
        }
        if self.is(Fault::TransactsHalfWhenDropped) {
            return self.in_halves(writes).await;
        }
        let mut twisted = Vec::new();
        for write in &writes {
            twisted.push(self.twist(write.clone()).await?);
        }
        if self.is(Fault::ForgetsAfterTheFourth) {
            twisted.truncate(4);
        }
        let index_of = |index| if self.is(Fault::BlamesTheFirst) { 0 } else { index };
        Ok(match self.inner.transact(&twisted).await? {
            Transacted::Applied { versions } => Transacted::Applied {
                versions: writes
                    .iter()
                    .zip(versions)
                    .map(|(w, v)| self.shown(w.key(), v))
                    .collect(),
            },
            Transacted::Refused { index, current } => Transacted::Refused {
                index: index_of(index),
                current: self.show(writes[index].key(), current),
            },
        })
    }

    async fn one_by_one(&self, writes: Vec<Write>) -> Result<Transacted> {
        if self.is(Fault::TakesAKeyTwice) {
            let distinct = writes
                .iter()
                .enumerate()
                .all(|(at, write)| writes[..at].iter().all(|earlier| earlier.key() != write.key()));
            if distinct {
                return self.inner.transact(&writes).await;
            }
        }
        let mut versions = Vec::new();
        for (index, write) in writes.into_iter().enumerate() {
            match self.inner.write(&write).await? {
                Written::Applied { version } => versions.push(version),
                Written::Refused { current } => return Ok(Transacted::Refused { index, current }),
            }
        }
        Ok(Transacted::Applied { versions })
    }

    /// Compares all first, as it should, but makes the changes one at a time.
    async fn in_halves(&self, writes: Vec<Write>) -> Result<Transacted> {
        for (index, write) in writes.iter().enumerate() {
            let current = self.inner.get(write.key()).await?;
            if !write.admits(current.as_ref().map(|entry| entry.version)) {
                return Ok(Transacted::Refused { index, current });
            }
        }
        let mut versions = Vec::new();
        for write in writes {
            if let Written::Applied { version } = self.inner.write(&write).await? {
                versions.push(version);
            }
            tokio::task::yield_now().await;
        }
        Ok(Transacted::Applied { versions })
    }

    pub(crate) async fn scan_wrongly(&self, mut request: ScanRequest) -> Result<ScanPage> {
        match self.fault {
            Fault::CursorIsAnOffset => return self.by_offset(&request).await,
            Fault::ListsTheExpired | Fault::PrefixIsNoSegment => {
                self.inner.scan(request.clone()).await?;
                return Ok(self.sloppily(&request));
            }
            Fault::TakesAnyCursor => {
                let known = request
                    .after
                    .as_ref()
                    .and_then(|cursor| Key::parse(&String::from_utf8_lossy(&cursor.0)).ok());
                request.after = request.after.filter(|_| known.is_some());
            }
            Fault::IgnoresThePageLimit => request.limit = NonZeroUsize::MAX,
            _ => {}
        }
        let marker = format!("{}:{{0}}:marker", request.namespace.as_str());
        let mut page = self.inner.scan(request).await?;
        if self.is(Fault::ListsAMarker) {
            page.keys.push(Key::parse(&marker)?);
        }
        if self.is(Fault::DropsKeysAtPageEnds) && page.next.is_some() && page.keys.len() > 1 {
            page.keys.pop();
        }
        Ok(page)
    }

    /// From what was written, without a look at what is live or whole.
    fn sloppily(&self, request: &ScanRequest) -> ScanPage {
        let after = request.after.as_ref().map(|cursor| String::from_utf8_lossy(&cursor.0));
        let listed = |key: &&Key| {
            let live = self.inner.get_ready(key).flatten().is_some();
            let inside = if self.is(Fault::PrefixIsNoSegment) {
                live && key.as_str().starts_with(request.namespace.as_str())
            } else {
                request.namespace.contains(key)
            };
            inside && after.as_ref().is_none_or(|after| key.as_str() > after.as_ref())
        };
        let notes = self.notes();
        let mut keys: Vec<Key> = notes.keys.iter().filter(listed).cloned().collect();
        let more = keys.len() > request.limit.get();
        keys.truncate(request.limit.get());
        let last = keys.last().filter(|_| more);
        let next = last.map(|key| Cursor(Bytes::from(key.as_str().to_owned())));
        ScanPage { keys, next }
    }

    /// Pages by position, which moves when earlier keys go.
    async fn by_offset(&self, request: &ScanRequest) -> Result<ScanPage> {
        let offset = request
            .after
            .as_ref()
            .map_or(0, |cursor| String::from_utf8_lossy(&cursor.0).parse().unwrap_or(usize::MAX));
        if offset == usize::MAX {
            return self.inner.scan(request.clone()).await;
        }
        let all = self.all(&request.namespace).await?;
        let keys: Vec<Key> = all.iter().skip(offset).take(request.limit.get()).cloned().collect();
        let end = offset + keys.len();
        let next = (end < all.len()).then(|| Cursor(Bytes::from(end.to_string())));
        Ok(ScanPage { keys, next })
    }

    async fn all(&self, namespace: &Namespace) -> Result<Vec<Key>> {
        let limit = NonZeroUsize::MAX;
        let request = ScanRequest { namespace: namespace.clone(), after: None, limit };
        Ok(self.inner.scan(request).await?.keys)
    }
}
