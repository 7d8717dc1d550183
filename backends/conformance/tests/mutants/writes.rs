//! Mistakes in single writes and in batches.

use std::time::Duration;

use steadfast_backend::{
    Backend, Bytes, Condition, Error, ErrorKind, Key, Result, Ttl, Version, Write, Written,
};

use steadfast_conformance::Stored as _;

use crate::fault::Fault;
use crate::mutant::Mutant;

const REFUSED: Written = Written::Refused { current: None };
const YEAR: Duration = Duration::from_secs(365 * 86_400);
const DAYS_30: Duration = Duration::from_secs(30 * 86_400);

impl Mutant {
    pub(crate) async fn write_wrongly(&self, write: Write) -> Result<Written> {
        self.note(&write);
        let key = write.key().clone();
        let put = matches!(write, Write::Put { .. });
        let touch = matches!(write, Write::Touch { .. });
        match self.fault {
            Fault::ChecksThenActs => self.check_then_act(write).await,
            Fault::LosesADroppedWrite
                if put
                    && write.condition() == Condition::Always
                    && self.info.capabilities.check_write(&write).is_ok() =>
            {
                let _ = self.inner.write(&Write::delete(key)).await?;
                tokio::task::yield_now().await;
                self.plainly(write).await
            }
            Fault::BreaksWhenDropped => {
                let _step = self.step().await?;
                self.plainly(write).await
            }
            Fault::DeleteNeedsAnEntry if matches!(write, Write::Delete { .. }) => {
                match self.inner.get(&key).await? {
                    None => Ok(Written::Refused { current: None }),
                    Some(_) => self.plainly(write).await,
                }
            }
            Fault::VersionsRestartWithTheEntry if put => self.restart_versions(write).await,
            Fault::TouchRevives if touch => self.revive(write).await,
            Fault::TouchBumpsVersion if touch => self.touch_by_put(write).await,
            Fault::RefusalBumpsVersion => self.bump_when_refused(write).await,
            Fault::TooLargeStillDeletes if self.info.capabilities.check_write(&write).is_err() => {
                let _ = self.inner.write(&Write::delete(key)).await?;
                self.plainly(write).await
            }
            Fault::RefusesTheLongestValue
                if len(&write) == self.info.capabilities.value_len_max =>
            {
                Err(Error::new(ErrorKind::TooLarge, "too long by one byte"))
            }
            Fault::JudgesConditionFirst => {
                let current = self.inner.get(&key).await?;
                if write.admits(current.as_ref().map(|entry| entry.version)) {
                    self.plainly(write).await
                } else {
                    Ok(Written::Refused { current })
                }
            }
            Fault::WritesAfterClose => match self.plainly(write).await {
                Err(error) if error.kind() == ErrorKind::Closed => {
                    Ok(Written::Applied { version: None })
                }
                answer => answer,
            },
            Fault::TakesEmptyForAbsent if self.stored(&key) == Some(Vec::new()) => {
                let admitted = write.admits(None);
                let version = Version::new(1).filter(|_| put);
                Ok(if admitted { Written::Applied { version } } else { REFUSED })
            }
            Fault::ClearsWhatItCannotRead => {
                let answer = self.plainly(write).await;
                if answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Corrupt) {
                    self.inner.records().replace(&key, &[]).unwrap();
                }
                answer
            }
            _ => self.plainly(write).await,
        }
    }

    fn stored(&self, key: &Key) -> Option<Vec<u8>> {
        self.inner.records().read(key).unwrap()
    }

    async fn plainly(&self, write: Write) -> Result<Written> {
        let key = write.key().clone();
        let write = self.twist(write).await?;
        Ok(self.answer(&key, self.inner.write(&write).await?))
    }

    fn note(&self, write: &Write) {
        let (key, now_us) = (write.key().clone(), self.now_us());
        let deadline_us = self.inner.get_ready(&key).flatten().and_then(|entry| entry.left);
        let mut notes = self.notes();
        notes.known.insert(key.clone());
        match write {
            Write::Put { value, .. } => {
                let text = String::from_utf8_lossy(value).into_owned();
                if self.is(Fault::LogsTheValue) {
                    tracing::info!(value = text, "a put");
                }
                notes.last_value = text;
                notes.values.insert(key.clone(), value.clone());
                notes.touched_us.remove(&key);
                notes.keys.insert(key);
            }
            Write::Touch { .. } => {
                notes.touched_us.insert(key, now_us);
            }
            Write::Delete { .. } => {
                if let Some(left) = deadline_us {
                    let left_us = u64::try_from(left.as_micros()).unwrap();
                    notes.deadline_us.insert(key.clone(), now_us + left_us);
                }
                // What is deleted for good is not listed by a sloppy scan either.
                notes.keys.remove(&key);
            }
            Write::Check { .. } => {}
        }
    }

    /// The write as the mutant understands it.
    pub(crate) async fn twist(&self, mut write: Write) -> Result<Write> {
        let key = self.key(write.key());
        let mut condition = write.condition();
        if let Condition::VersionIs(version) = condition {
            condition = Condition::VersionIs(self.truly(write.key(), version));
        }
        let put = matches!(write, Write::Put { .. });
        condition = match (self.fault, condition) {
            (Fault::PutNeverOverwrites, Condition::Always) if put => Condition::Absent,
            (Fault::IgnoresAbsent, Condition::Absent)
            | (Fault::IgnoresPresent, Condition::Present) => Condition::Always,
            (Fault::IgnoresVersion, Condition::VersionIs(_)) => Condition::Present,
            (Fault::TouchIgnoresCondition, _) if matches!(write, Write::Touch { .. }) => {
                Condition::Always
            }
            (_, condition) => condition,
        };
        let present = self.inner.get(&key).await?;
        let (Write::Put { key: place, .. }
        | Write::Touch { key: place, .. }
        | Write::Delete { key: place, .. }
        | Write::Check { key: place, .. }) = &mut write;
        *place = key.clone();
        match &mut write {
            Write::Put { ttl, value, .. } => {
                let left = present.as_ref().and_then(|entry| entry.left);
                match (self.fault, present) {
                    (Fault::KeepsTheFirstValue, Some(first)) => *value = first.value,
                    (Fault::TakesTextOnly, _) => {
                        *value = String::from_utf8_lossy(value).into_owned().into();
                    }
                    _ => {}
                }
                *ttl = self.twist_put_ttl(&key, *ttl, left);
                if self.is(Fault::SpoilsOneLength) && value.len() == 33 && ttl.is_some() {
                    *value = Bytes::from(vec![b'w'; 33]);
                }
            }
            Write::Touch { ttl, .. } => *ttl = self.twist_ttl(*ttl),
            Write::Delete { .. } | Write::Check { .. } => {}
        }
        if self.is(Fault::TouchIsIgnored) && matches!(write, Write::Touch { .. }) {
            write = Write::check(key, condition);
            if condition == Condition::Always {
                condition = Condition::Present;
            }
        }
        Ok(write.only_if(condition))
    }

    fn twist_put_ttl(&self, key: &Key, ttl: Option<Ttl>, left: Option<Duration>) -> Option<Ttl> {
        let inherited = match self.fault {
            Fault::PutKeepsDeadline => left,
            Fault::DefaultsToAYear => Some(YEAR),
            Fault::DeadlineSurvivesDelete => {
                self.notes().deadline_us.remove(key).map(|deadline_us| {
                    Duration::from_micros(deadline_us.saturating_sub(self.now_us()))
                })
            }
            _ => None,
        };
        ttl.or(inherited.and_then(|left| Ttl::new(left).ok()))
            .and_then(|ttl| self.twist_ttl(Some(ttl)))
    }

    fn twist_ttl(&self, ttl: Option<Ttl>) -> Option<Ttl> {
        let ttl = ttl?;
        let whole = |millis| Ttl::new(Duration::from_millis(millis)).unwrap_or(ttl);
        Some(match self.fault {
            Fault::ServesLate => whole(ttl.as_millis() + 400),
            Fault::RoundsTtlDownToSeconds => whole((ttl.as_millis() / 1_000).max(1) * 1_000),
            Fault::CapsTtlAt30Days => Ttl::new(ttl.as_duration().min(DAYS_30)).unwrap(),
            _ => ttl,
        })
    }

    async fn check_then_act(&self, write: Write) -> Result<Written> {
        let current = self.inner.get(write.key()).await?;
        if !write.admits(current.as_ref().map(|entry| entry.version)) {
            return self.plainly(write).await;
        }
        tokio::task::yield_now().await;
        self.plainly(write.only_if(Condition::Always)).await
    }

    async fn restart_versions(&self, write: Write) -> Result<Written> {
        let _turn = self.turn.lock().await;
        let key = write.key().clone();
        let fresh = self.inner.get(&key).await?.is_none();
        let write = self.twist(write).await?;
        let answer = self.inner.write(&write).await?;
        if fresh && answer.is_applied() {
            *self.notes().shift.entry(key.clone()).or_default() += 1_000_000_000;
        }
        Ok(self.answer(&key, answer))
    }

    async fn revive(&self, write: Write) -> Result<Written> {
        let value = self.notes().values.get(write.key()).cloned();
        match (self.inner.get(write.key()).await?, value) {
            (None, Some(value)) => {
                let put = Write::put(write.key().clone(), value);
                self.plainly(write.ttl().map_or(put.clone(), |ttl| put.expiring(ttl))).await
            }
            _ => self.plainly(write).await,
        }
    }

    async fn touch_by_put(&self, write: Write) -> Result<Written> {
        let Some(entry) = self.inner.get(write.key()).await? else {
            return self.plainly(write).await;
        };
        let put = Write::put(write.key().clone(), entry.value).only_if(write.condition());
        self.plainly(write.ttl().map_or(put.clone(), |ttl| put.expiring(ttl))).await
    }

    async fn bump_when_refused(&self, write: Write) -> Result<Written> {
        let key = write.key().clone();
        let answer = self.plainly(write).await?;
        if let Written::Refused { current: Some(entry) } = &answer {
            let put = Write::put(key, entry.value.clone());
            let put = entry.left.map_or(put.clone(), |left| put.expiring(Ttl::new(left).unwrap()));
            let _ = self.inner.write(&put).await?;
        }
        Ok(answer)
    }

    pub(crate) async fn batch_wrongly(
        &self,
        mut writes: Vec<Write>,
    ) -> Result<Vec<Result<Written>>> {
        self.refuse_empty(writes.len())?;
        if self.is(Fault::RefusesTheLongestBatch) {
            self.info.capabilities.check_batch_len(writes.len() + 1)?;
        }
        self.info
            .capabilities
            .check_batch_len(writes.len())
            .or_else(|error| if self.is(Fault::TakesLongBatches) { Ok(()) } else { Err(error) })?;
        self.inner.check().await?;
        let first_error =
            writes.iter().find_map(|write| self.info.capabilities.check_write(write).err());
        if let (Fault::OneTooLargeFailsAll, Some(error)) = (self.fault, first_error) {
            return Err(error);
        }
        let backwards = [Fault::BatchReversed, Fault::BatchIsMadeBackwards].contains(&self.fault);
        if backwards {
            writes.reverse();
        }
        let mut answers = Vec::new();
        for write in writes {
            answers.push(self.write(&write).await);
            if self.is(Fault::BatchStopsAtRefusal)
                && matches!(answers.last(), Some(Ok(Written::Refused { .. })))
            {
                break;
            }
            if self.is(Fault::BatchIsMadeBackwards) {
                tokio::task::yield_now().await;
            }
        }
        if backwards || self.is(Fault::AnswersReversed) {
            answers.reverse();
        }
        Ok(answers)
    }
}

fn len(write: &Write) -> usize {
    match write {
        Write::Put { value, .. } => value.len(),
        _ => 0,
    }
}
