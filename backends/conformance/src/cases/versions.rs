//! Versions: strictly increasing per key, and never used twice.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use steadfast_backend::{Key, Version, Write, Written};

use crate::case::cases;
use crate::context::{Context, ttl_ms};
use crate::failure::{Outcome, applied, ensure, ensure_eq, fail, present};

cases!("versions":
    each_put_has_a_higher_one,
    they_increase_across_delete,
    they_increase_across_expiry,
    they_increase_within_a_batch,
    they_increase_across_a_transaction [Transactions],
    a_touch_keeps_it,
    a_refused_write_uses_none_that_is_seen,
    racing_puts_never_share_one,
    written_and_age_make_the_present_time [ManualTime],
    what_is_written_says_when [ManualTime],
);

/// Puts, and checks that the version is higher than `last`.
async fn put_after(context: &Context, key: &Key, last: Option<Version>) -> Outcome<Version> {
    let version = context.put(Write::put(key.clone(), "v")).await?;
    ensure!(Some(version) > last, "version {version:?} does not follow {last:?}");
    Ok(version)
}

async fn each_put_has_a_higher_one(context: &mut Context) -> Outcome {
    let key = context.key("k")?;
    let mut last = None;
    for round in 0..100 {
        last = Some(put_after(context, &key, last).await?);
        if round % 10 == 0 {
            context.pass(Duration::from_micros(3)).await;
        }
    }
    Ok(())
}

async fn they_increase_across_delete(context: &mut Context) -> Outcome {
    let key = context.key("k")?;
    let mut last = None;
    for _ in 0..20 {
        for _ in 0..3 {
            last = Some(put_after(context, &key, last).await?);
        }
        let now = applied(context.write(Write::delete(key.clone())).await?)?;
        ensure_eq!(now, None, "the version after a delete");
    }
    Ok(())
}

async fn they_increase_across_expiry(context: &mut Context) -> Outcome {
    let key = context.key("k")?;
    let mut last = None;
    for _ in 0..5 {
        for _ in 0..3 {
            last = Some(put_after(context, &key, last).await?);
        }
        applied(context.write(Write::touch(key.clone(), Some(ttl_ms(1)?))).await?)?;
        context.pass(context.can().ttl_step + Duration::from_millis(1)).await;
        context.backend.sweep().await?;
        ensure_eq!(context.get(&key).await?, None, "an expired entry");
    }
    Ok(())
}

async fn they_increase_within_a_batch(context: &mut Context) -> Outcome {
    let key = context.key("k")?;
    let len = context.can().batch_len_max.min(16);
    let mut last = None;
    let writes: Vec<_> =
        (0..len).map(|number| Write::put(key.clone(), number.to_string())).collect();
    for answer in context.backend.write_many(&writes).await? {
        let version = applied(answer?)?;
        ensure!(version > last, "version {version:?} does not follow {last:?}");
        last = version;
    }
    Ok(())
}

async fn they_increase_across_a_transaction(context: &mut Context) -> Outcome {
    let keys = context.keys(2)?;
    let mut last = [None, None];
    for _ in 0..5 {
        for (key, last) in keys.iter().zip(&mut last) {
            *last = Some(put_after(context, key, *last).await?);
        }
        let writes: Vec<_> = keys.iter().map(|key| Write::put(key.clone(), "t")).collect();
        let steadfast_backend::Transacted::Applied { versions } =
            context.backend.transact(&writes).await?
        else {
            fail!("an unconditional transaction was refused")
        };
        ensure_eq!(versions.len(), 2, "the number of versions");
        for ((version, last), key) in versions.into_iter().zip(&mut last).zip(&keys) {
            ensure!(version > *last, "version {version:?} does not follow {last:?}");
            let entry = present(context.get(key).await?, "after a transaction")?;
            ensure_eq!(Some(entry.version), version, "the version that is read");
            *last = version;
        }
    }
    Ok(())
}

async fn a_touch_keeps_it(context: &mut Context) -> Outcome {
    let key = context.key("k")?;
    let version = context.put(Write::put(key.clone(), "v")).await?;
    for ttl in [Some(ttl_ms(3_600_000)?), None] {
        context.pass(Duration::from_millis(2)).await;
        let answered = applied(context.write(Write::touch(key.clone(), ttl)).await?)?;
        ensure_eq!(answered, Some(version), "the version that a touch answers");
        let entry = present(context.get(&key).await?, "after a touch")?;
        ensure_eq!(entry.version, version, "the version after a touch");
    }
    Ok(())
}

async fn a_refused_write_uses_none_that_is_seen(context: &mut Context) -> Outcome {
    let key = context.key("k")?;
    let version = context.put(Write::put(key.clone(), "v")).await?;
    let put = Write::put(key.clone(), "w").only_if(steadfast_backend::Condition::Absent);
    crate::failure::refused(context.write(put).await?)?;
    let entry = present(context.get(&key).await?, "after a refused put")?;
    ensure_eq!(entry.version, version, "the version after a refused put");
    Ok(())
}

async fn racing_puts_never_share_one(context: &mut Context) -> Outcome {
    const TASKS: usize = 64;
    const EACH: usize = 4;
    let key = context.key("k")?;
    let mut tasks = Vec::new();
    for _ in 0..TASKS {
        let (backend, key) = (Arc::clone(&context.backend), key.clone());
        tasks.push(tokio::spawn(async move {
            let mut versions = Vec::new();
            for _ in 0..EACH {
                let Written::Applied { version } =
                    backend.write(&Write::put(key.clone(), "v")).await?
                else {
                    continue;
                };
                versions.extend(version);
            }
            Ok::<_, steadfast_backend::Error>(versions)
        }));
    }
    let mut all = BTreeSet::new();
    for task in tasks {
        let versions = task.await??;
        ensure!(versions.is_sorted(), "one task saw its versions go back");
        all.extend(versions);
    }
    ensure_eq!(all.len(), TASKS * EACH, "the number of different versions");
    let entry = present(context.get(&key).await?, "after the puts")?;
    ensure_eq!(Some(&entry.version), all.last(), "the version that stays");
    Ok(())
}

const SLACK_US: u64 = 1_000;

async fn written_and_age_make_the_present_time(context: &mut Context) -> Outcome {
    let key = context.key("k")?;
    context.put(Write::put(key.clone(), "v")).await?;
    for time in [0, 1_500, 60_000_000] {
        context.pass(Duration::from_micros(time)).await;
        let found = present(context.get(&key).await?, "after a put")?.now_us();
        ensure!(
            found.abs_diff(context.now_us()) <= SLACK_US,
            "written_us + age is {found}, and it is {} us",
            context.now_us()
        );
    }
    Ok(())
}

async fn what_is_written_says_when(context: &mut Context) -> Outcome {
    let keys = context.keys(2)?;
    context.put(Write::put(keys[0].clone(), "v")).await?;
    context.pass(Duration::from_secs(3_600)).await;
    for key in &keys {
        context.put(Write::put(key.clone(), "v")).await?;
        let written_us = present(context.get(key).await?, "after a put")?.written_us;
        ensure!(
            written_us.abs_diff(context.now_us()) <= SLACK_US,
            "what was written at {} us says that it was at {written_us} us",
            context.now_us()
        );
    }
    Ok(())
}
