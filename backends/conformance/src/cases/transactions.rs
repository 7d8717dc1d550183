//! Transactions: all of it or none, also under contention.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use steadfast_backend::{Backend, Condition, Entry, ErrorKind, Key, Transacted, Version, Write};

use crate::case::cases;
use crate::context::{Context, ttl_ms};
use crate::failure::{Failure, Outcome, ensure, ensure_eq, ensure_kind, fail, present};

cases!("transactions":
    all_writes_are_made [Transactions],
    every_verb_may_stand_in_one [Transactions],
    an_empty_one_is_applied [Transactions],
    one_of_checks_only_changes_nothing [Transactions],
    a_refused_one_changes_nothing [Transactions],
    a_refusal_names_the_write_and_what_is_there [Transactions],
    a_touch_of_an_absent_key_refuses_all [Transactions],
    an_expired_entry_is_absent [Transactions],
    a_key_twice_is_invalid [Transactions],
    keys_of_two_groups_change_together [AnyKeys],
    keys_of_two_groups_are_invalid [SameGroupOnly],
    one_is_unsupported [NoTransactions],
    a_group_has_one_endpoint [Transactions],
    one_of_64_racing_on_shared_keys_wins [Transactions],
    transfers_of_64_tasks_are_serial [Transactions],
);

/// The versions after a transaction that must be applied.
fn done(transacted: Transacted) -> Outcome<Vec<Option<Version>>> {
    match transacted {
        Transacted::Applied { versions } => Ok(versions),
        Transacted::Refused { index, .. } => {
            fail!("the transaction was refused at {index} and should be applied")
        }
    }
}

async fn transact(context: &Context, writes: Vec<Write>) -> Outcome<Transacted> {
    Ok(context.backend.transact(&writes).await?)
}

async fn versions_of(context: &Context, keys: &[Key]) -> Outcome<Vec<Option<Version>>> {
    let entries = context.backend.get_many(keys).await?;
    Ok(entries.into_iter().map(|entry| entry.map(|entry| entry.version)).collect())
}

/// A transaction is made by one server, and fails with it.
async fn a_group_has_one_endpoint(context: &mut Context) -> Outcome {
    let keys = context.keys(16)?;
    let endpoint = context.backend.endpoint(&keys[0]);
    for key in &keys {
        ensure_eq!(context.backend.endpoint(key), endpoint, "the endpoint of {key:?}");
    }
    Ok(())
}

async fn all_writes_are_made(context: &mut Context) -> Outcome {
    let keys = context.keys(5)?;
    let put = |key: &Key| Write::put(key.clone(), key.name().to_owned());
    let versions = done(transact(context, keys.iter().map(put).collect()).await?)?;
    ensure_eq!(versions_of(context, &keys).await?, versions, "versions read against answered");
    for key in &keys {
        ensure_eq!(context.text(key).await?.as_deref(), Some(key.name()), "a value");
    }
    Ok(())
}

async fn every_verb_may_stand_in_one(context: &mut Context) -> Outcome {
    let keys = context.keys(5)?;
    let mut old = Vec::new();
    for key in &keys[..4] {
        old.push(context.put(Write::put(key.clone(), "old")).await?);
    }
    let writes = vec![
        Write::put(keys[0].clone(), "new").only_if(Condition::VersionIs(old[0])),
        Write::touch(keys[1].clone(), Some(ttl_ms(3_600_000)?)).only_if(Condition::Present),
        Write::delete(keys[2].clone()).only_if(Condition::VersionIs(old[2])),
        Write::check(keys[3].clone(), Condition::VersionIs(old[3])),
        Write::put(keys[4].clone(), "new").only_if(Condition::Absent),
    ];
    let versions = done(transact(context, writes).await?)?;
    ensure_eq!(versions_of(context, &keys).await?, versions, "versions read against answered");
    ensure_eq!(versions.get(1..4), Some(&[Some(old[1]), None, Some(old[3])][..]), "versions");
    ensure!(versions[0] > Some(old[0]), "the put kept its version");
    let touched = present(context.get(&keys[1]).await?, "the touched entry")?;
    ensure!(touched.left.is_some(), "the touched entry has no deadline");
    Ok(())
}

async fn an_empty_one_is_applied(context: &mut Context) -> Outcome {
    ensure_eq!(done(transact(context, Vec::new()).await?)?.len(), 0, "the number of versions");
    Ok(())
}

async fn one_of_checks_only_changes_nothing(context: &mut Context) -> Outcome {
    let keys = context.keys(2)?;
    let version = context.put(Write::put(keys[0].clone(), "v")).await?;
    let checks = |second| {
        vec![
            Write::check(keys[0].clone(), Condition::VersionIs(version)),
            Write::check(keys[1].clone(), second),
        ]
    };
    let versions = done(transact(context, checks(Condition::Absent)).await?)?;
    ensure_eq!(versions, [Some(version), None], "the versions");
    let refused = transact(context, checks(Condition::Present)).await?;
    ensure_eq!(refused, Transacted::Refused { index: 1, current: None }, "a check that fails");
    ensure_eq!(versions_of(context, &keys).await?, versions, "the versions afterwards");
    Ok(())
}

async fn a_refused_one_changes_nothing(context: &mut Context) -> Outcome {
    let keys = context.keys(5)?;
    for key in &keys[..3] {
        context.put(Write::put(key.clone(), "old")).await?;
    }
    let before = versions_of(context, &keys).await?;
    let others = [
        Write::put(keys[0].clone(), "new"),
        Write::touch(keys[1].clone(), Some(ttl_ms(1_000)?)),
        Write::delete(keys[2].clone()),
        Write::put(keys[3].clone(), "new").only_if(Condition::Absent),
    ];
    for at in 0..=others.len() {
        let mut writes = others.to_vec();
        writes.insert(at, Write::check(keys[4].clone(), Condition::Present));
        let found = transact(context, writes).await?;
        ensure_eq!(found, Transacted::Refused { index: at, current: None }, "the answer");
        ensure_eq!(versions_of(context, &keys).await?, before, "versions, refused at {at}");
        let left = present(context.get(&keys[1]).await?, "after a refusal")?.left;
        ensure_eq!(left, None, "the deadline that a refused touch would set");
    }
    Ok(())
}

async fn a_refusal_names_the_write_and_what_is_there(context: &mut Context) -> Outcome {
    let keys = context.keys(3)?;
    context.put(Write::put(keys[1].clone(), "one").expiring(ttl_ms(3_600_000)?)).await?;
    context.put(Write::put(keys[2].clone(), "two")).await?;
    context.pass(Duration::from_millis(3)).await;
    let writes = keys.iter().map(|key| Write::put(key.clone(), "x").only_if(Condition::Absent));
    let Transacted::Refused { index, current } = transact(context, writes.collect()).await? else {
        fail!("a transaction with two failing conditions was applied")
    };
    ensure_eq!(index, 1, "the first write whose condition fails");
    let current = present(current, "in the refusal")?;
    let read = present(context.get(&keys[1]).await?, "after the refusal")?;
    ensure_eq!((&current.value, current.version), (&read.value, read.version), "what it carries");
    if !context.settings.real_time {
        ensure_eq!(current, read, "age and time left of what it carries");
    }
    Ok(())
}

async fn a_touch_of_an_absent_key_refuses_all(context: &mut Context) -> Outcome {
    let keys = context.keys(2)?;
    let writes = vec![Write::put(keys[0].clone(), "v"), Write::touch(keys[1].clone(), None)];
    let found = transact(context, writes).await?;
    ensure_eq!(found, Transacted::Refused { index: 1, current: None }, "the answer");
    ensure_eq!(versions_of(context, &keys).await?, [None, None], "the versions afterwards");
    Ok(())
}

async fn an_expired_entry_is_absent(context: &mut Context) -> Outcome {
    let keys = context.keys(2)?;
    let version = context.put(Write::put(keys[0].clone(), "v").expiring(ttl_ms(1)?)).await?;
    context.pass(context.can().ttl_step + Duration::from_millis(1)).await;
    let writes = |condition| {
        vec![Write::put(keys[1].clone(), "w"), Write::check(keys[0].clone(), condition)]
    };
    for condition in [Condition::Present, Condition::VersionIs(version)] {
        let found = transact(context, writes(condition)).await?;
        ensure_eq!(found, Transacted::Refused { index: 1, current: None }, "{condition:?}");
    }
    let versions = done(transact(context, writes(Condition::Absent)).await?)?;
    ensure_eq!(versions.get(1), Some(&None), "the version of an expired entry");
    Ok(())
}

async fn a_key_twice_is_invalid(context: &mut Context) -> Outcome {
    let keys = context.keys(2)?;
    let writes = vec![
        Write::put(keys[0].clone(), "a"),
        Write::put(keys[1].clone(), "b"),
        Write::check(keys[0].clone(), Condition::Always),
    ];
    ensure_kind(context.backend.transact(&writes).await, ErrorKind::Invalid, "a key twice")?;
    ensure_eq!(versions_of(context, &keys).await?, [None, None], "the versions afterwards");
    Ok(())
}

fn two_groups(context: &Context) -> Outcome<(Vec<Key>, Vec<Write>)> {
    let keys = vec![context.key_of("one", "k")?, context.key_of("two", "k")?];
    let writes = keys.iter().map(|key| Write::put(key.clone(), "v")).collect();
    Ok((keys, writes))
}

async fn keys_of_two_groups_change_together(context: &mut Context) -> Outcome {
    let (keys, writes) = two_groups(context)?;
    let versions = done(transact(context, writes).await?)?;
    ensure_eq!(versions_of(context, &keys).await?, versions, "versions read against answered");
    Ok(())
}

async fn keys_of_two_groups_are_invalid(context: &mut Context) -> Outcome {
    let (keys, writes) = two_groups(context)?;
    ensure_kind(context.backend.transact(&writes).await, ErrorKind::Invalid, "two groups")?;
    ensure_eq!(versions_of(context, &keys).await?, [None, None], "the versions afterwards");
    Ok(())
}

async fn one_is_unsupported(context: &mut Context) -> Outcome {
    let key = context.key("k")?;
    for writes in [vec![], vec![Write::put(key.clone(), "v")]] {
        let found = context.backend.transact(&writes).await;
        ensure_kind(found, ErrorKind::Unsupported, "a transaction")?;
    }
    ensure_eq!(context.get(&key).await?, None, "the key afterwards");
    Ok(())
}

async fn one_of_64_racing_on_shared_keys_wins(context: &mut Context) -> Outcome {
    const TASKS: usize = 64;
    let keys = context.keys(TASKS + 1)?;
    let start = Arc::new(tokio::sync::Barrier::new(TASKS));
    let mut tasks = Vec::new();
    for number in 0..TASKS {
        // Neighbours share a key, and all share the last one.
        let own = [number, (number + 1) % TASKS, TASKS];
        let put =
            |at: usize| Write::put(keys[at].clone(), number.to_string()).only_if(Condition::Absent);
        let writes = own.map(put).to_vec();
        let (backend, start) = (Arc::clone(&context.backend), Arc::clone(&start));
        tasks.push(tokio::spawn(async move {
            start.wait().await;
            backend.transact(&writes).await
        }));
    }
    let mut winners = Vec::new();
    for (number, task) in tasks.into_iter().enumerate() {
        if matches!(task.await??, Transacted::Applied { .. }) {
            winners.push(number);
        }
    }
    ensure_eq!(winners.len(), 1, "the number of winners");
    let mut values = Vec::new();
    for key in &keys {
        values.extend(context.text(key).await?);
    }
    ensure_eq!(values, vec![winners[0].to_string(); 3], "what was written");
    Ok(())
}

const ACCOUNTS: usize = 6;
const START: i64 = 1_000;
const TOTAL: i64 = 6 * START;

/// A transfer that was applied: from and to which account, how much, and the versions it read and
/// made.
struct Transfer {
    accounts: [usize; 2],
    amount: i64,
    read: [Version; 2],
    made: [Version; 2],
}

/// Bank transfers on a few accounts: the total stays the same in every snapshot, and the applied
/// ones can be told as a serial story that ends in the balances that are read.
async fn transfers_of_64_tasks_are_serial(context: &mut Context) -> Outcome {
    const TASKS: usize = 64;
    let keys = Arc::new(context.keys(ACCOUNTS)?);
    let mut first = Vec::new();
    for key in keys.iter() {
        first.push(context.put(Write::put(key.clone(), START.to_string())).await?);
    }
    let mut tasks = Vec::new();
    for task in 0..TASKS {
        let (backend, keys) = (Arc::clone(&context.backend), Arc::clone(&keys));
        tasks.push(tokio::spawn(async move { transfers(&*backend, &keys, task).await }));
    }
    let mut story = Vec::new();
    for task in tasks {
        story.extend(task.await??);
    }
    ensure!(!story.is_empty(), "no transfer was applied");
    let last = context.backend.get_many(&keys).await?;
    replay(&story, first, last)
}

/// Tries some transfers, each once: a refused one lost a race and is forgotten.
async fn transfers(backend: &dyn Backend, keys: &[Key], task: usize) -> Outcome<Vec<Transfer>> {
    let mut applied = Vec::new();
    for round in 0..8 {
        let from = (task + round) % ACCOUNTS;
        let to = (from + 1 + (task * 7 + round) % (ACCOUNTS - 1)) % ACCOUNTS;
        let amount = i64::try_from(1 + (task * 31 + round * 17) % 90).unwrap_or(1);
        let entries = backend.get_many(keys).await?;
        let seen: Vec<(i64, Version)> = entries.into_iter().map(balance).collect::<Outcome<_>>()?;
        let total: i64 = seen.iter().map(|(balance, _)| balance).sum();
        ensure_eq!(total, TOTAL, "the total of one snapshot");
        let put = |at: usize, change: i64| {
            let (balance, version) = seen[at];
            Write::put(keys[at].clone(), (balance + change).to_string())
                .only_if(Condition::VersionIs(version))
        };
        // Lets others in between, so that this also races where a store answers at once.
        tokio::task::yield_now().await;
        let answer = backend.transact(&[put(from, -amount), put(to, amount)]).await?;
        if let Transacted::Applied { versions } = answer {
            let [Some(one), Some(two)] = versions[..] else {
                fail!("a transaction of two puts answered {versions:?}")
            };
            let read = [seen[from].1, seen[to].1];
            applied.push(Transfer { accounts: [from, to], amount, read, made: [one, two] });
        }
    }
    Ok(applied)
}

fn balance(entry: Option<Entry>) -> Outcome<(i64, Version)> {
    let entry = present(entry, "an account")?;
    let text = String::from_utf8_lossy(&entry.value);
    let balance = text.parse().map_err(|_| Failure(format!("a balance reads {text}")))?;
    Ok((balance, entry.version))
}

/// Carries out the transfers on a model, each when its turn has come by the versions it read.
fn replay(story: &[Transfer], first: Vec<Version>, last: Vec<Option<Entry>>) -> Outcome {
    let mut model: Vec<(i64, Version)> = first.into_iter().map(|it| (START, it)).collect();
    let mut by_read = HashMap::new();
    for (number, transfer) in story.iter().enumerate() {
        for (account, version) in transfer.accounts.iter().zip(transfer.read) {
            let twice = by_read.insert((*account, version), number);
            ensure!(twice.is_none(), "an update was lost: two transfers built on {version:?}");
        }
    }
    let mut told = 0;
    while let Some(transfer) = (0..ACCOUNTS)
        .filter_map(|account| by_read.get(&(account, model[account].1)))
        .map(|number| &story[*number])
        .find(|it| (0..2).all(|side| model[it.accounts[side]].1 == it.read[side]))
    {
        for (side, change) in [(0, -transfer.amount), (1, transfer.amount)] {
            let (balance, version) = &mut model[transfer.accounts[side]];
            ensure!(*version < transfer.made[side], "a version went back");
            (*balance, *version) = (*balance + change, transfer.made[side]);
        }
        told += 1;
    }
    ensure_eq!(told, story.len(), "the transfers that make a serial story");
    let last: Vec<(i64, Version)> = last.into_iter().map(balance).collect::<Outcome<_>>()?;
    ensure_eq!(last, model, "the accounts at the end, against the serial story");
    Ok(())
}
