//! What is still there after a close and a reopening.

use std::time::Duration;

use steadfast_backend::{Condition, Write};

use crate::case::cases;
use crate::context::{Context, ttl_ms};
use crate::failure::{Outcome, applied, ensure, ensure_eq, present, refused};

cases!("durability":
    entries_come_back_as_they_were [Survival],
    deleted_entries_stay_deleted [Survival],
    deadlines_go_on_while_it_is_closed [Survival, ManualTime],
    versions_go_on_from_where_they_were [Survival],
    a_clock_set_back_reuses_no_version [Survival, ManualTime],
    a_clock_set_back_revives_nothing [Survival, ManualTime],
);

const HOUR_US: u64 = 3_600_000_000;

async fn entries_come_back_as_they_were(context: &mut Context) -> Outcome {
    let keys = context.keys(3)?;
    context.put(Write::put(keys[0].clone(), "plain")).await?;
    context.put(Write::put(keys[1].clone(), "mortal").expiring(ttl_ms(3_600_000)?)).await?;
    context.put(Write::put(keys[2].clone(), "touched").expiring(ttl_ms(1_000)?)).await?;
    applied(context.write(Write::touch(keys[2].clone(), None)).await?)?;
    let before = context.backend.get_many(&keys).await?;
    context.reopen_at(context.now_us()).await?;
    let after = context.backend.get_many(&keys).await?;
    for (before, after) in before.into_iter().zip(after) {
        let (before, after) =
            (present(before, "before a reopening")?, present(after, "after a reopening")?);
        ensure_eq!((&after.value, after.version), (&before.value, before.version), "the entry");
        ensure_eq!(after.left.is_some(), before.left.is_some(), "whether it has a deadline");
    }
    Ok(())
}

async fn deleted_entries_stay_deleted(context: &mut Context) -> Outcome {
    let key = context.key("k")?;
    context.put(Write::put(key.clone(), "v")).await?;
    applied(context.write(Write::delete(key.clone())).await?)?;
    context.reopen_at(context.now_us()).await?;
    ensure_eq!(context.get(&key).await?, None, "a deleted entry after a reopening");
    Ok(())
}

async fn deadlines_go_on_while_it_is_closed(context: &mut Context) -> Outcome {
    let keys = context.keys(2)?;
    context.put(Write::put(keys[0].clone(), "v").expiring(ttl_ms(60_000)?)).await?;
    context.put(Write::put(keys[1].clone(), "v").expiring(ttl_ms(7_200_000)?)).await?;
    context.reopen_at(context.now_us() + HOUR_US).await?;
    ensure_eq!(context.get(&keys[0]).await?, None, "an entry that expired meanwhile");
    let entry = present(context.get(&keys[1]).await?, "an entry that has an hour left")?;
    let slack = Duration::from_secs(1) + context.can().ttl_step;
    let left = entry.left.unwrap_or_default();
    ensure!(left.abs_diff(Duration::from_secs(3_600)) <= slack, "an hour is left, not {left:?}");
    ensure!(entry.age.abs_diff(Duration::from_secs(3_600)) <= slack, "the age is {:?}", entry.age);
    Ok(())
}

async fn versions_go_on_from_where_they_were(context: &mut Context) -> Outcome {
    let keys = context.keys(2)?;
    let old = context.put(Write::put(keys[0].clone(), "v")).await?;
    let gone = context.put(Write::put(keys[1].clone(), "v")).await?;
    applied(context.write(Write::delete(keys[1].clone())).await?)?;
    context.reopen_at(context.now_us()).await?;
    let put = Write::put(keys[0].clone(), "w").only_if(Condition::VersionIs(old));
    let new = context.put(put).await?;
    ensure!(new > old, "after a reopening {new:?} does not follow {old:?}");
    let new = context.put(Write::put(keys[1].clone(), "w")).await?;
    ensure!(new > gone, "after a delete and a reopening {new:?} does not follow {gone:?}");
    Ok(())
}

async fn a_clock_set_back_reuses_no_version(context: &mut Context) -> Outcome {
    let keys = context.keys(2)?;
    let old = context.put(Write::put(keys[0].clone(), "v")).await?;
    let gone = context.put(Write::put(keys[1].clone(), "v")).await?;
    applied(context.write(Write::delete(keys[1].clone())).await?)?;
    context.reopen_at(context.now_us() - HOUR_US).await?;
    for (key, last) in keys.iter().zip([old, gone]) {
        let new = context.put(Write::put(key.clone(), "w")).await?;
        ensure!(new > last, "with the clock set back, {new:?} does not follow {last:?}");
    }
    Ok(())
}

async fn a_clock_set_back_revives_nothing(context: &mut Context) -> Outcome {
    let key = context.key("k")?;
    context.put(Write::put(key.clone(), "v").expiring(ttl_ms(1_000)?)).await?;
    context.pass(Duration::from_secs(2)).await;
    ensure_eq!(context.get(&key).await?, None, "an expired entry");
    // A write after the deadline, so that the store has seen that it passed.
    context.put(Write::put(context.key("other")?, "v")).await?;
    context.reopen_at(context.now_us() - HOUR_US).await?;
    ensure_eq!(context.get(&key).await?, None, "an expired entry, with the clock set back");
    let touch = Write::touch(key, None);
    ensure_eq!(refused(context.write(touch).await?)?, None, "what the refused touch carries");
    Ok(())
}
