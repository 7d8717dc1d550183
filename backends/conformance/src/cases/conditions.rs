//! What each write does under each condition.

use std::sync::Arc;
use std::time::Duration;

use steadfast_backend::{Condition, Key, Version, Write, Written};
use tokio::sync::Barrier;

use crate::case::cases;
use crate::context::{Context, ttl_ms};
use crate::failure::{Outcome, applied, ensure, ensure_eq, present, refused};

cases!("conditions":
    put_always,
    put_if_absent,
    put_if_present,
    put_if_version_is,
    touch_always,
    touch_if_absent_is_always_refused,
    touch_if_present,
    touch_if_version_is,
    delete_always,
    delete_if_absent,
    delete_if_present,
    delete_if_version_is,
    check_changes_nothing,
    a_refused_write_changes_nothing,
    a_refused_write_carries_the_present_entry,
    an_expired_entry_is_absent,
    a_version_of_another_key_does_not_count,
    one_of_64_racing_creators_wins,
    one_of_64_racing_updaters_wins,
    one_of_64_racing_deleters_wins,
);

/// Makes the write on an absent key, a present one with the right version in the condition, and a
/// present one with an older version, and tells which were applied.
async fn outcomes(context: &Context, write: impl Fn(Key, Version) -> Write) -> Outcome<[bool; 3]> {
    let [absent, fresh, stale] =
        [context.key("absent")?, context.key("fresh")?, context.key("stale")?];
    let gone = context.put(Write::put(absent.clone(), "v")).await?;
    applied(context.write(Write::delete(absent.clone())).await?)?;
    let current = context.put(Write::put(fresh.clone(), "v")).await?;
    let old = context.put(Write::put(stale.clone(), "v")).await?;
    context.put(Write::put(stale.clone(), "v")).await?;
    let mut found = [false; 3];
    for (found, (key, version)) in
        found.iter_mut().zip([(absent, gone), (fresh, current), (stale, old)])
    {
        *found = context.write(write(key, version)).await?.is_applied();
    }
    Ok(found)
}

type Expected = [bool; 3];
const ALWAYS: Expected = [true, true, true];
const ABSENT: Expected = [true, false, false];
const PRESENT: Expected = [false, true, true];
const VERSION_IS: Expected = [false, true, false];
const NEVER: Expected = [false, false, false];

async fn expect(
    context: &Context,
    expected: Expected,
    write: impl Fn(Key, Version) -> Write,
) -> Outcome {
    let found = outcomes(context, write).await?;
    ensure_eq!(found, expected, "applied to a deleted, a present and a newer entry");
    Ok(())
}

async fn put_always(context: &mut Context) -> Outcome {
    expect(context, ALWAYS, |key, _| Write::put(key, "new")).await
}

async fn put_if_absent(context: &mut Context) -> Outcome {
    expect(context, ABSENT, |key, _| Write::put(key, "new").only_if(Condition::Absent)).await
}

async fn put_if_present(context: &mut Context) -> Outcome {
    expect(context, PRESENT, |key, _| Write::put(key, "new").only_if(Condition::Present)).await
}

async fn put_if_version_is(context: &mut Context) -> Outcome {
    let put = |key, version| Write::put(key, "new").only_if(Condition::VersionIs(version));
    expect(context, VERSION_IS, put).await?;
    ensure_eq!(context.text(&context.key("fresh")?).await?.as_deref(), Some("new"), "after it");
    Ok(())
}

async fn touch_always(context: &mut Context) -> Outcome {
    expect(context, PRESENT, |key, _| Write::touch(key, None)).await
}

async fn touch_if_absent_is_always_refused(context: &mut Context) -> Outcome {
    expect(context, NEVER, |key, _| Write::touch(key, None).only_if(Condition::Absent)).await
}

async fn touch_if_present(context: &mut Context) -> Outcome {
    expect(context, PRESENT, |key, _| Write::touch(key, None).only_if(Condition::Present)).await
}

async fn touch_if_version_is(context: &mut Context) -> Outcome {
    let touch = |key, version| Write::touch(key, None).only_if(Condition::VersionIs(version));
    expect(context, VERSION_IS, touch).await
}

async fn delete_always(context: &mut Context) -> Outcome {
    expect(context, ALWAYS, |key, _| Write::delete(key)).await?;
    ensure_eq!(context.get(&context.key("fresh")?).await?, None, "a deleted key");
    Ok(())
}

async fn delete_if_absent(context: &mut Context) -> Outcome {
    expect(context, ABSENT, |key, _| Write::delete(key).only_if(Condition::Absent)).await
}

async fn delete_if_present(context: &mut Context) -> Outcome {
    expect(context, PRESENT, |key, _| Write::delete(key).only_if(Condition::Present)).await
}

async fn delete_if_version_is(context: &mut Context) -> Outcome {
    let delete = |key, version| Write::delete(key).only_if(Condition::VersionIs(version));
    expect(context, VERSION_IS, delete).await?;
    ensure_eq!(context.get(&context.key("fresh")?).await?, None, "a deleted key");
    Ok(())
}

async fn check_changes_nothing(context: &mut Context) -> Outcome {
    for (condition, expected) in
        [(Condition::Always, ALWAYS), (Condition::Absent, ABSENT), (Condition::Present, PRESENT)]
    {
        expect(context, expected, |key, _| Write::check(key, condition)).await?;
    }
    let check = |key, version| Write::check(key, Condition::VersionIs(version));
    expect(context, VERSION_IS, check).await?;
    let key = context.key("k")?;
    let version = context.put(Write::put(key.clone(), "v").expiring(ttl_ms(3_600_000)?)).await?;
    let before = present(context.get(&key).await?, "after a put")?;
    let answered = applied(context.write(Write::check(key.clone(), Condition::Always)).await?)?;
    ensure_eq!(answered, Some(version), "the version that a check answers");
    let after = present(context.get(&key).await?, "after a check")?;
    ensure_eq!((after.value, after.version), (before.value, before.version), "after a check");
    ensure!(after.left.is_some(), "a check removed the deadline");
    Ok(())
}

/// Writes that are all refused on a present key with a deadline.
fn losers(key: &Key, stale: Version) -> Outcome<[Write; 7]> {
    let other = Condition::VersionIs(stale);
    let key = || key.clone();
    Ok([
        Write::put(key(), "lost").only_if(Condition::Absent),
        Write::put(key(), "lost").only_if(other),
        Write::touch(key(), None).only_if(other),
        Write::touch(key(), Some(ttl_ms(1)?)).only_if(Condition::Absent),
        Write::delete(key()).only_if(Condition::Absent),
        Write::delete(key()).only_if(other),
        Write::check(key(), other),
    ])
}

async fn a_refused_write_changes_nothing(context: &mut Context) -> Outcome {
    let key = context.key("k")?;
    let stale = context.put(Write::put(key.clone(), "old")).await?;
    context.put(Write::put(key.clone(), "v").expiring(ttl_ms(3_600_000)?)).await?;
    let before = present(context.get(&key).await?, "after a put")?;
    for write in losers(&key, stale)? {
        refused(context.write(write.clone()).await?)?;
        let after = present(context.get(&key).await?, &format!("after the refused {write:?}"))?;
        ensure_eq!(after.value, before.value, "the value after the refused {write:?}");
        ensure_eq!(after.version, before.version, "the version after the refused {write:?}");
        ensure!(
            after.left > Some(Duration::from_secs(3_000)),
            "the refused {write:?} set {after:?}"
        );
    }
    Ok(())
}

async fn a_refused_write_carries_the_present_entry(context: &mut Context) -> Outcome {
    let key = context.key("k")?;
    let stale = context.put(Write::put(key.clone(), "old")).await?;
    context.put(Write::put(key.clone(), "winner").expiring(ttl_ms(3_600_000)?)).await?;
    context.pass(Duration::from_millis(3)).await;
    let current = present(context.get(&key).await?, "after a put")?;
    for write in losers(&key, stale)? {
        let carried = present(refused(context.write(write).await?)?, "in a refusal")?;
        ensure_eq!(carried.value, current.value, "the value in a refusal");
        ensure_eq!(carried.version, current.version, "the version in a refusal");
        if !context.settings.real_time {
            ensure_eq!(carried, current, "age and time left in a refusal");
        }
    }
    let absent = Write::put(context.key("absent")?, "v").only_if(Condition::Present);
    ensure_eq!(
        refused(context.write(absent).await?)?,
        None,
        "what a refusal carries of an absent key"
    );
    Ok(())
}

async fn an_expired_entry_is_absent(context: &mut Context) -> Outcome {
    let keys = context.keys(5)?;
    let mut versions = Vec::new();
    for key in &keys {
        versions.push(context.put(Write::put(key.clone(), "v").expiring(ttl_ms(1)?)).await?);
    }
    context.pass(context.can().ttl_step + Duration::from_millis(1)).await;
    let dead = Condition::VersionIs(versions[0]);
    let blocked = [
        Write::put(keys[0].clone(), "w").only_if(dead),
        Write::put(keys[0].clone(), "w").only_if(Condition::Present),
        Write::delete(keys[0].clone()).only_if(dead),
        Write::check(keys[0].clone(), Condition::Present),
    ];
    for write in blocked {
        let carried = refused(context.write(write).await?)?;
        ensure_eq!(carried, None, "what a refusal carries of an expired entry");
    }
    let free = [
        Write::put(keys[1].clone(), "w").only_if(Condition::Absent),
        Write::delete(keys[2].clone()).only_if(Condition::Absent),
        Write::check(keys[3].clone(), Condition::Absent),
        Write::put(keys[4].clone(), "w"),
    ];
    for write in free {
        applied(context.write(write).await?)?;
    }
    let check = Write::check(keys[3].clone(), Condition::Always);
    let answered = applied(context.write(check).await?)?;
    ensure_eq!(answered, None, "the version that a check answers of an expired entry");
    Ok(())
}

async fn a_version_of_another_key_does_not_count(context: &mut Context) -> Outcome {
    let keys = context.keys(2)?;
    context.put(Write::put(keys[0].clone(), "v")).await?;
    let other = context.put(Write::put(keys[1].clone(), "v")).await?;
    let newer = Version::new(other.get() + 1_000).unwrap_or(other);
    for version in [Some(newer), Version::new(1), Version::new(u64::MAX)].into_iter().flatten() {
        let put = Write::put(keys[0].clone(), "w").only_if(Condition::VersionIs(version));
        refused(context.write(put).await?)?;
    }
    Ok(())
}

/// Starts 64 writes at once and counts those that were applied.
async fn race(context: &Context, write: impl Fn(usize) -> Write) -> Outcome<(usize, Vec<Written>)> {
    const TASKS: usize = 64;
    let start = Arc::new(Barrier::new(TASKS));
    let mut tasks = Vec::new();
    for number in 0..TASKS {
        let (backend, start) = (Arc::clone(&context.backend), Arc::clone(&start));
        let write = write(number);
        tasks.push(tokio::spawn(async move {
            start.wait().await;
            backend.write(&write).await
        }));
    }
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await??);
    }
    let winner = answers.iter().position(Written::is_applied).unwrap_or(TASKS);
    let winners = answers.iter().filter(|answer| answer.is_applied()).count();
    ensure_eq!(winners, 1, "the number of winners among {TASKS}");
    Ok((winner, answers))
}

const ROUNDS: usize = 8;

async fn one_of_64_racing_creators_wins(context: &mut Context) -> Outcome {
    for key in context.keys(ROUNDS)? {
        let put =
            |number: usize| Write::put(key.clone(), number.to_string()).only_if(Condition::Absent);
        let (winner, answers) = race(context, put).await?;
        ensure_eq!(context.text(&key).await?, Some(winner.to_string()), "the value after the race");
        for answer in answers.into_iter().filter(|answer| !answer.is_applied()) {
            let carried = present(refused(answer)?, "in a refusal")?;
            ensure_eq!(carried.value, winner.to_string(), "what a loser was told");
        }
    }
    Ok(())
}

async fn one_of_64_racing_updaters_wins(context: &mut Context) -> Outcome {
    let key = context.key("k")?;
    let mut version = context.put(Write::put(key.clone(), "start")).await?;
    for _ in 0..ROUNDS {
        let condition = Condition::VersionIs(version);
        let put = |number: usize| Write::put(key.clone(), number.to_string()).only_if(condition);
        let (winner, _) = race(context, put).await?;
        let entry = present(context.get(&key).await?, "after the race")?;
        ensure_eq!(entry.value, winner.to_string(), "the value after the race");
        version = entry.version;
    }
    Ok(())
}

async fn one_of_64_racing_deleters_wins(context: &mut Context) -> Outcome {
    let key = context.key("k")?;
    for _ in 0..ROUNDS {
        let version = context.put(Write::put(key.clone(), "v")).await?;
        let delete = |_| Write::delete(key.clone()).only_if(Condition::VersionIs(version));
        race(context, delete).await?;
        ensure_eq!(context.get(&key).await?, None, "the entry after the race");
    }
    Ok(())
}
