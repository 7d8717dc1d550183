//! Time to live: never early, and never later than the declared step.

use std::time::{Duration, Instant};

use steadfast_backend::{Condition, Key, Ttl, Write};

use crate::case::cases;
use crate::context::{Context, ttl_ms};
use crate::failure::{Outcome, applied, ensure, ensure_eq, fail, present, refused};

cases!("ttl":
    one_millisecond [ManualTime],
    below_a_second [ManualTime],
    seconds_and_odd_milliseconds [ManualTime],
    a_day [ManualTime],
    over_30_days [ManualTime],
    ten_years [ManualTime],
    an_entry_without_one_stays [ManualTime],
    a_touch_extends [ManualTime],
    a_touch_shortens [ManualTime],
    a_touch_removes [ManualTime],
    a_touch_cannot_revive,
    a_put_without_one_removes_the_deadline [ManualTime],
    a_put_replaces_the_deadline [ManualTime],
    a_delete_forgets_the_deadline [ManualTime],
    a_sweep_removes_no_live_entry [ManualTime],
    expired_in_get_many [ManualTime],
    real_deadlines_are_neither_early_nor_late [RealTime],
    real_touches_move_the_deadline [RealTime],
);

const TICK: Duration = Duration::from_micros(1);

/// Lets time pass to just before a deadline and just after it; the entry must go in between.
async fn expires_after(context: &Context, key: &Key, left: Duration) -> Outcome {
    context.pass(left.saturating_sub(TICK)).await;
    context.backend.sweep().await?;
    ensure!(context.get(key).await?.is_some(), "of {left:?}, it was gone 1 us early");
    // The backend may declare that it rounds deadlines up to a step.
    context.pass(TICK + context.can().ttl_step).await;
    ensure_eq!(context.get(key).await?, None, "get after {left:?} and the declared step");
    ensure_eq!(context.backend.get_ready(key).flatten(), None, "get_ready after {left:?}");
    context.backend.sweep().await?;
    ensure_eq!(context.get(key).await?, None, "get after {left:?} and a sweep");
    Ok(())
}

async fn lives_exactly(context: &Context, spans_ms: &[u64]) -> Outcome {
    for (number, &millis) in spans_ms.iter().enumerate() {
        let key = context.key(&number.to_string())?;
        context.put(Write::put(key.clone(), "v").expiring(ttl_ms(millis)?)).await?;
        expires_after(context, &key, Duration::from_millis(millis)).await?;
    }
    Ok(())
}

async fn one_millisecond(context: &mut Context) -> Outcome {
    lives_exactly(context, &[1]).await?;
    // Written in the middle of a millisecond.
    context.pass(Duration::from_micros(617)).await;
    lives_exactly(context, &[1, 2]).await
}

async fn below_a_second(context: &mut Context) -> Outcome {
    lives_exactly(context, &[10, 137, 500, 999]).await
}

async fn seconds_and_odd_milliseconds(context: &mut Context) -> Outcome {
    context.pass(Duration::from_micros(333_333)).await;
    lives_exactly(context, &[1_000, 1_001, 1_999, 59_500, 60_000]).await
}

async fn a_day(context: &mut Context) -> Outcome {
    lives_exactly(context, &[86_400_000]).await
}

async fn over_30_days(context: &mut Context) -> Outcome {
    // Memcached takes more than 30 days for a date; 2^31 and 2^32 ms are other old traps.
    let days_30 = 30 * 86_400_000;
    let spans = [days_30, days_30 + 1, 31 * 86_400_000, (1 << 31) + 1, (1 << 32) + 1];
    lives_exactly(context, &spans).await
}

async fn ten_years(context: &mut Context) -> Outcome {
    lives_exactly(context, &[Ttl::MAX.as_millis()]).await
}

async fn an_entry_without_one_stays(context: &mut Context) -> Outcome {
    let key = context.key("k")?;
    context.put(Write::put(key.clone(), "v")).await?;
    context.pass(Ttl::MAX.as_duration() * 2).await;
    context.backend.sweep().await?;
    ensure!(context.get(&key).await?.is_some(), "an entry without a TTL was gone after 20 years");
    Ok(())
}

/// Puts with 60 s, lets 20 s pass and touches.
async fn touched(context: &Context, ttl: Option<Ttl>) -> Outcome<Key> {
    let key = context.key("k")?;
    context.put(Write::put(key.clone(), "v").expiring(ttl_ms(60_000)?)).await?;
    context.pass(Duration::from_secs(20)).await;
    applied(context.write(Write::touch(key.clone(), ttl)).await?)?;
    ensure_eq!(context.text(&key).await?.as_deref(), Some("v"), "the value after a touch");
    Ok(key)
}

async fn a_touch_extends(context: &mut Context) -> Outcome {
    let key = touched(context, Some(ttl_ms(90_001)?)).await?;
    expires_after(context, &key, Duration::from_millis(90_001)).await
}

async fn a_touch_shortens(context: &mut Context) -> Outcome {
    let key = touched(context, Some(ttl_ms(1_500)?)).await?;
    expires_after(context, &key, Duration::from_millis(1_500)).await
}

async fn a_touch_removes(context: &mut Context) -> Outcome {
    let key = touched(context, None).await?;
    let entry = present(context.get(&key).await?, "after a touch")?;
    ensure_eq!(entry.left, None, "time left after the deadline was removed");
    context.pass(Ttl::MAX.as_duration()).await;
    context.backend.sweep().await?;
    ensure!(context.get(&key).await?.is_some(), "gone, although its deadline was removed");
    Ok(())
}

async fn a_touch_cannot_revive(context: &mut Context) -> Outcome {
    let key = context.key("k")?;
    let version = context.put(Write::put(key.clone(), "v").expiring(ttl_ms(5)?)).await?;
    context.pass(Duration::from_millis(5) + context.can().ttl_step).await;
    for condition in [Condition::Always, Condition::Present, Condition::VersionIs(version)] {
        for ttl in [Some(ttl_ms(60_000)?), None] {
            let touch = Write::touch(key.clone(), ttl).only_if(condition);
            ensure_eq!(refused(context.write(touch).await?)?, None, "what the refusal carries");
            ensure_eq!(context.get(&key).await?, None, "after a touch of a dead entry");
        }
    }
    Ok(())
}

async fn a_put_without_one_removes_the_deadline(context: &mut Context) -> Outcome {
    let key = context.key("k")?;
    context.put(Write::put(key.clone(), "v").expiring(ttl_ms(1_000)?)).await?;
    context.put(Write::put(key.clone(), "w")).await?;
    let entry = present(context.get(&key).await?, "after a put")?;
    ensure_eq!(entry.left, None, "time left after a put without a TTL");
    context.pass(Duration::from_secs(10)).await;
    context.backend.sweep().await?;
    ensure_eq!(context.text(&key).await?.as_deref(), Some("w"), "after the old deadline");
    Ok(())
}

async fn a_put_replaces_the_deadline(context: &mut Context) -> Outcome {
    let key = context.key("k")?;
    for (first, second) in [(1_000, 5_000), (5_000, 1_000)] {
        context.put(Write::put(key.clone(), "v").expiring(ttl_ms(first)?)).await?;
        context.put(Write::put(key.clone(), "w").expiring(ttl_ms(second)?)).await?;
        expires_after(context, &key, Duration::from_millis(second)).await?;
    }
    Ok(())
}

async fn a_delete_forgets_the_deadline(context: &mut Context) -> Outcome {
    let key = context.key("k")?;
    context.put(Write::put(key.clone(), "v").expiring(ttl_ms(1_000)?)).await?;
    applied(context.write(Write::delete(key.clone())).await?)?;
    context.put(Write::put(key.clone(), "w")).await?;
    context.pass(Duration::from_secs(2)).await;
    context.backend.sweep().await?;
    ensure_eq!(context.text(&key).await?.as_deref(), Some("w"), "after the deleted one's deadline");
    Ok(())
}

async fn a_sweep_removes_no_live_entry(context: &mut Context) -> Outcome {
    let keys = context.keys(40)?;
    for (number, key) in keys.iter().enumerate() {
        let put = Write::put(key.clone(), "v");
        let millis = 1_000 * (1 + number as u64 % 2 * 3_600);
        context.put(put.expiring(ttl_ms(millis)?)).await?;
    }
    context.pass(Duration::from_secs(2) + context.can().ttl_step).await;
    context.backend.sweep().await?;
    for (number, key) in keys.iter().enumerate() {
        let found = context.get(key).await?.is_some();
        ensure_eq!(found, number % 2 == 1, "whether number {number} is there after the sweep");
    }
    Ok(())
}

async fn expired_in_get_many(context: &mut Context) -> Outcome {
    let keys = context.keys(3)?;
    context.put(Write::put(keys[0].clone(), "v").expiring(ttl_ms(50)?)).await?;
    context.put(Write::put(keys[1].clone(), "v").expiring(ttl_ms(3_600_000)?)).await?;
    context.put(Write::put(keys[2].clone(), "v")).await?;
    context.pass(Duration::from_millis(50) + context.can().ttl_step).await;
    let entries = context.backend.get_many(&keys).await?;
    let found: Vec<bool> = entries.iter().map(Option::is_some).collect();
    ensure_eq!(found, [false, true, true], "what get_many shows");
    Ok(())
}

/// Reads until the entry is gone. A span is judged only by instants that enclose it, so that a slow
/// machine cannot make this fail.
async fn watch_until_gone(context: &Context, write: Write, ttl: Duration) -> Outcome {
    let key = write.key().clone();
    let before_write = Instant::now();
    applied(context.write(write).await?)?;
    let after_write = Instant::now();
    loop {
        let before_read = Instant::now();
        if context.get(&key).await?.is_none() {
            let lived_at_most = before_write.elapsed();
            ensure!(lived_at_most >= ttl, "of {ttl:?}, it was gone after {lived_at_most:?}");
            return Ok(());
        }
        let lived = before_read.duration_since(after_write);
        if lived > ttl + context.can().ttl_step {
            fail!("of {ttl:?}, it was still there after {lived:?}")
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn real_deadlines_are_neither_early_nor_late(context: &mut Context) -> Outcome {
    for millis in [1, 30, 250, 1_001] {
        let put = Write::put(context.key("k")?, "v").expiring(ttl_ms(millis)?);
        watch_until_gone(context, put, Duration::from_millis(millis)).await?;
    }
    Ok(())
}

async fn real_touches_move_the_deadline(context: &mut Context) -> Outcome {
    let key = context.key("k")?;
    for (first, second) in [(3_600_000, 100), (60_000, 300)] {
        context.put(Write::put(key.clone(), "v").expiring(ttl_ms(first)?)).await?;
        let touch = Write::touch(key.clone(), Some(ttl_ms(second)?));
        watch_until_gone(context, touch, Duration::from_millis(second)).await?;
    }
    Ok(())
}
