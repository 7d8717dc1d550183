//! What cannot be read is neither given out nor overwritten: every verb says so, and leaves it.
//!
//! What is stored is damaged while the store is closed, past the backend, by what the harness gave
//! to [`Suite::damaged_by`](crate::Suite::damaged_by).

use steadfast_backend::{Condition, ErrorKind, Key, Result, Transactions, Version, Write, Written};

use crate::case::cases;
use crate::context::{Context, ttl_ms};
use crate::failure::{Failure, Outcome, applied, ensure, ensure_eq, fail};
use crate::place::Stored;

cases!("damage":
    reads_say_what_cannot_be_read [Damage],
    writes_leave_what_cannot_be_read [Damage],
    a_batch_makes_the_others [Damage],
    a_transaction_makes_nothing [Damage, Transactions],
    a_scan_lists_what_cannot_be_read [Damage, Scan],
    a_sweep_leaves_what_cannot_be_read [Damage],
);

/// Short, so that half a record ends within what stands before the value.
const VALUE: &str = "value";

/// A way to damage a record.
#[derive(Clone, Copy, Debug)]
enum Damage {
    /// So many bytes are left.
    CutTo(usize),
    /// So many quarters of it are left.
    CutToQuarters(usize),
    /// A bit is flipped in what says how to read the rest.
    Flip(usize, u8),
    Rubbish,
    /// What is there is no bytes at all.
    AnotherKind,
}

const DAMAGES: [Damage; 9] = [
    Damage::CutTo(0),
    Damage::CutTo(1),
    Damage::CutToQuarters(1),
    Damage::CutToQuarters(2),
    Damage::Flip(0, 0x01),
    Damage::Flip(0, 0x80),
    Damage::Flip(1, 0x01),
    Damage::Rubbish,
    Damage::AnotherKind,
];

impl Damage {
    /// Does it. False where the store has nothing of the sort.
    fn make(self, stored: &mut dyn Stored, key: &Key) -> Outcome<bool> {
        let mut bytes = read(stored, key)?;
        match self {
            Self::CutTo(len) => bytes.truncate(len),
            Self::CutToQuarters(quarters) => bytes.truncate(bytes.len() * quarters / 4),
            Self::Flip(at, bit) => match bytes.get_mut(at) {
                Some(byte) => *byte ^= bit,
                None => fail!("what is stored is too short to be a record: {} bytes", bytes.len()),
            },
            Self::Rubbish => bytes = b"nothing that a backend of ours ever wrote".to_vec(),
            Self::AnotherKind => return Ok(stored.estrange(key)?),
        }
        stored.replace(key, &bytes)?;
        Ok(true)
    }
}

fn read(stored: &mut dyn Stored, key: &Key) -> Outcome<Vec<u8>> {
    let missing = || Failure(format!("nothing is stored under {}", key.as_str()));
    stored.read(key)?.ok_or_else(missing)
}

/// A record that was damaged.
struct Damaged {
    key: Key,
    /// The version that it had before.
    version: Version,
    damage: Damage,
    /// What is stored now.
    bytes: Vec<u8>,
}

impl Damaged {
    /// What is to be said of anything about it.
    fn check<T: std::fmt::Debug>(&self, answer: Result<T>, what: &str) -> Outcome {
        match answer {
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                ensure!(!error.is_ambiguous(), "{what} after {:?} is ambiguous", self.damage);
                Ok(())
            }
            other => fail!("{what} after {:?} answers {other:?}", self.damage),
        }
    }
}

/// Records with every kind of damage, so many of each.
async fn damaged(context: &mut Context, of_each: usize) -> Outcome<Vec<Damaged>> {
    let mut records = Vec::new();
    for (number, damage) in DAMAGES.into_iter().enumerate() {
        for copy in 0..of_each {
            let key = context.key(&format!("{number}-{copy}"))?;
            let put = Write::put(key.clone(), VALUE).expiring(ttl_ms(3_600_000)?);
            let version = context.put(put).await?;
            records.push(Damaged { key, version, damage, bytes: Vec::new() });
        }
    }
    let open = context.closed().await?;
    let mut stored = open(&context.place)?;
    let mut kept = Vec::new();
    for mut record in records {
        if record.damage.make(&mut *stored, &record.key)? {
            record.bytes = read(&mut *stored, &record.key)?;
            kept.push(record);
        }
    }
    drop(stored);
    context.open_again().await?;
    Ok(kept)
}

/// Looks at what is stored: it must be as it was left.
async fn are_left(context: &mut Context, records: &[Damaged], what: &str) -> Outcome {
    let open = context.closed().await?;
    let mut stored = open(&context.place)?;
    for Damaged { key, damage, bytes, .. } in records {
        let now = read(&mut *stored, key);
        let now = now.map_err(|Failure(text)| Failure(format!("{text}: {what}, {damage:?}")))?;
        ensure_eq!(now, *bytes, "what {what} left after {damage:?}");
    }
    drop(stored);
    context.open_again().await
}

async fn reads_say_what_cannot_be_read(context: &mut Context) -> Outcome {
    let good = context.key("good")?;
    context.put(Write::put(good.clone(), VALUE)).await?;
    let records = damaged(context, 1).await?;
    for record in &records {
        let ready = context.backend.get_ready(&record.key);
        ensure!(ready.is_none(), "get_ready after {:?} answers {ready:?}", record.damage);
        record.check(context.backend.get(&record.key).await, "get")?;
        // To a command that reads several keys, a value of another type may be none.
        if !matches!(record.damage, Damage::AnotherKind) {
            let both = [good.clone(), record.key.clone()];
            record.check(context.backend.get_many(&both).await, "get_many")?;
        }
    }
    ensure_eq!(context.text(&good).await?.as_deref(), Some(VALUE), "an entry beside them");
    are_left(context, &records, "a read").await
}

/// Each verb under each condition.
fn writes(key: &Key, version: Version) -> Outcome<Vec<Write>> {
    let other = Version::new(version.get() + 1_000).unwrap_or(version);
    let conditions = [
        Condition::Always,
        Condition::Absent,
        Condition::Present,
        Condition::VersionIs(version),
        Condition::VersionIs(other),
    ];
    let verbs = [
        Write::put(key.clone(), "new"),
        Write::touch(key.clone(), Some(ttl_ms(60_000)?)),
        Write::touch(key.clone(), None),
        Write::delete(key.clone()),
        Write::check(key.clone(), Condition::Always),
    ];
    let under = |condition| verbs.iter().map(move |verb| verb.clone().only_if(condition));
    Ok(conditions.into_iter().flat_map(under).collect())
}

/// Where nothing is compared before a write, one without a condition does not look at what it
/// overwrites.
fn looks(context: &Context, write: &Write) -> bool {
    let blind = matches!(write, Write::Put { .. } | Write::Delete { .. });
    let compares = context.can().transactions != Transactions::None;
    compares || !blind || write.condition() != Condition::Always
}

async fn writes_leave_what_cannot_be_read(context: &mut Context) -> Outcome {
    let any = context.key("any")?;
    let of_each = writes(&any, context.put(Write::put(any.clone(), VALUE)).await?)?.len();
    let records = damaged(context, of_each).await?;
    let mut left = Vec::new();
    for (number, record) in records.into_iter().enumerate() {
        let write = writes(&record.key, record.version)?.swap_remove(number % of_each);
        let answer = context.backend.write(&write).await;
        if looks(context, &write) {
            record.check(answer, &format!("{write:?}"))?;
            left.push(record);
        } else if !matches!(answer, Ok(Written::Applied { .. })) {
            record.check(answer, &format!("{write:?}"))?;
        }
    }
    are_left(context, &left, "a write").await
}

async fn a_batch_makes_the_others(context: &mut Context) -> Outcome {
    let records = damaged(context, 1).await?;
    for (record, key) in records.iter().zip(context.keys(records.len())?) {
        let batch = [
            Write::put(record.key.clone(), "new").only_if(Condition::Present),
            Write::put(key.clone(), "made"),
            Write::delete(record.key.clone()).only_if(Condition::VersionIs(record.version)),
        ];
        let mut answers = context.backend.write_many(&batch).await?.into_iter();
        for what in ["a put in a batch", "", "a delete in a batch"] {
            let Some(answer) = answers.next() else { fail!("a batch of 3 has fewer answers") };
            if what.is_empty() {
                applied(answer?)?;
            } else {
                record.check(answer, what)?;
            }
        }
        ensure_eq!(context.text(&key).await?.as_deref(), Some("made"), "what was put beside");
    }
    are_left(context, &records, "a batch").await
}

async fn a_transaction_makes_nothing(context: &mut Context) -> Outcome {
    let of_each = 3;
    let records = damaged(context, of_each).await?;
    let good = context.key("good")?;
    for (number, record) in records.iter().enumerate() {
        let about = match number % of_each {
            0 => Write::put(record.key.clone(), "new"),
            1 => Write::delete(record.key.clone()),
            _ => Write::check(record.key.clone(), Condition::Absent),
        };
        let what = format!("a transaction with {about:?}");
        let both = [Write::put(good.clone(), VALUE), about];
        record.check(context.backend.transact(&both).await, &what)?;
        ensure_eq!(context.get(&good).await?, None, "what {what} put");
    }
    are_left(context, &records, "a transaction").await
}

async fn a_scan_lists_what_cannot_be_read(context: &mut Context) -> Outcome {
    let records = damaged(context, 1).await?;
    let listed = context.scan_all(&context.namespace, 100).await?;
    for Damaged { key, damage, .. } in &records {
        ensure!(listed.contains(key), "a scan does not list what is there after {damage:?}");
    }
    are_left(context, &records, "a scan").await
}

async fn a_sweep_leaves_what_cannot_be_read(context: &mut Context) -> Outcome {
    let records = damaged(context, 1).await?;
    context.backend.sweep().await?;
    if !context.settings.real_time {
        // What says when they end is beside them.
        context.pass(std::time::Duration::from_secs(2 * 3_600)).await;
        context.backend.sweep().await?;
    }
    are_left(context, &records, "a sweep").await
}
