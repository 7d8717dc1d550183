//! What a read answers.

use std::time::Duration;

use steadfast_backend::{ErrorKind, Key, Write};

use crate::case::cases;
use crate::context::{Context, ttl_ms};
use crate::failure::{Outcome, ensure, ensure_eq, ensure_kind, present};

cases!("read":
    a_missing_key_is_none,
    a_put_value_is_read_back,
    every_byte_comes_back,
    an_empty_value_is_not_a_miss,
    groups_and_namespaces_are_apart,
    get_many_keeps_the_order,
    get_many_answers_duplicates,
    get_many_of_nothing_is_nothing,
    get_many_over_the_limit_is_too_large,
    get_ready_agrees_with_get,
    age_grows_and_a_touch_does_not_reset_it [ManualTime],
    left_shrinks_and_is_none_without_a_deadline [ManualTime],
    left_is_never_overstated [ManualTime],
    all_reads_tell_the_same,
);

async fn a_missing_key_is_none(context: &mut Context) -> Outcome {
    let key = context.key("missing")?;
    ensure_eq!(context.get(&key).await?, None, "get of a key never written");
    Ok(())
}

async fn a_put_value_is_read_back(context: &mut Context) -> Outcome {
    let key = context.key("k")?;
    let version = context.put(Write::put(key.clone(), "first")).await?;
    let entry = present(context.get(&key).await?, "after a put")?;
    ensure_eq!(entry.value, "first", "the value");
    ensure_eq!(entry.version, version, "the version that the put answered");
    context.put(Write::put(key.clone(), "second")).await?;
    ensure_eq!(
        context.text(&key).await?.as_deref(),
        Some("second"),
        "the value after a second put"
    );
    Ok(())
}

async fn every_byte_comes_back(context: &mut Context) -> Outcome {
    let key = context.key("k")?;
    let value: Vec<u8> = (0..=255).chain([0, 0, b'\r', b'\n', 0]).collect();
    context.put(Write::put(key.clone(), value.clone())).await?;
    ensure_eq!(present(context.get(&key).await?, "after a put")?.value, value, "the bytes");
    Ok(())
}

async fn an_empty_value_is_not_a_miss(context: &mut Context) -> Outcome {
    let key = context.key("k")?;
    context.put(Write::put(key.clone(), "")).await?;
    ensure_eq!(context.text(&key).await?.as_deref(), Some(""), "an empty value");
    Ok(())
}

async fn groups_and_namespaces_are_apart(context: &mut Context) -> Outcome {
    let keys = alike(context)?;
    for (number, key) in keys.iter().enumerate() {
        context.put(Write::put(key.clone(), number.to_string())).await?;
    }
    for (number, key) in keys.iter().enumerate() {
        ensure_eq!(context.text(key).await?, Some(number.to_string()), "the value of {key:?}");
    }
    Ok(())
}

/// Keys that a sloppy encoding would take for one another.
fn alike(context: &Context) -> Outcome<Vec<Key>> {
    let child = context.namespace.child("a")?;
    let group = |text| steadfast_backend::Group::new(text);
    Ok(vec![
        Key::new(&context.namespace, &group("a")?, "b:c")?,
        Key::new(&context.namespace, &group("a:b")?, "c")?,
        Key::new(&context.namespace, &group("A")?, "b:c")?,
        Key::new(&context.namespace, &group("a")?, "b:C")?,
        Key::new(&child, &group("a")?, "b:c")?,
        Key::new(&child, &group("b")?, "c")?,
        Key::new(&context.namespace, &group("a")?, "b:c%00*?[x]\\/../'\";--")?,
    ])
}

async fn get_many_keeps_the_order(context: &mut Context) -> Outcome {
    let keys = context.keys(8)?;
    for key in keys.iter().step_by(2) {
        context.put(Write::put(key.clone(), key.name().to_owned())).await?;
    }
    let asked: Vec<Key> = [5, 2, 7, 0, 6, 3, 4].map(|number: usize| keys[number].clone()).into();
    let entries = context.backend.get_many(&asked).await?;
    ensure_eq!(entries.len(), asked.len(), "the number of answers");
    for (key, entry) in asked.iter().zip(entries) {
        let expected = (key.name().ends_with(['0', '2', '4', '6'])).then(|| key.name().as_bytes());
        let found = entry.as_ref().map(|entry| &*entry.value);
        ensure_eq!(found, expected, "the answer in the place of {}", key.name());
    }
    Ok(())
}

async fn get_many_answers_duplicates(context: &mut Context) -> Outcome {
    let keys = context.keys(2)?;
    context.put(Write::put(keys[0].clone(), "v")).await?;
    let asked = [&keys[0], &keys[1], &keys[0], &keys[1], &keys[0]].map(Clone::clone);
    let entries = context.backend.get_many(&asked).await?;
    let found: Vec<bool> = entries.iter().map(Option::is_some).collect();
    ensure_eq!(found, [true, false, true, false, true], "what is present");
    Ok(())
}

async fn get_many_of_nothing_is_nothing(context: &mut Context) -> Outcome {
    ensure_eq!(context.backend.get_many(&[]).await?.len(), 0, "the number of answers");
    Ok(())
}

async fn get_many_over_the_limit_is_too_large(context: &mut Context) -> Outcome {
    let max = context.can().batch_len_max;
    let keys = vec![context.key("k")?; max.saturating_add(1)];
    ensure_eq!(context.backend.get_many(&keys[..max]).await?.len(), max, "answers at the limit");
    let over = context.backend.get_many(&keys).await;
    ensure_kind(over, ErrorKind::TooLarge, "one key more than the limit")
}

async fn get_ready_agrees_with_get(context: &mut Context) -> Outcome {
    let (present, missing, expired) =
        (context.key("present")?, context.key("missing")?, context.key("expired")?);
    context.put(Write::put(present.clone(), "v")).await?;
    context.put(Write::put(expired.clone(), "v").expiring(ttl_ms(1)?)).await?;
    context.pass(context.can().ttl_step + Duration::from_millis(1)).await;
    for key in [present, missing, expired] {
        let entry = context.get(&key).await?.map(|entry| (entry.value, entry.version));
        if let Some(ready) = context.backend.get_ready(&key) {
            let ready = ready.map(|entry| (entry.value, entry.version));
            ensure_eq!(ready, entry, "get_ready of {}", key.name());
        }
    }
    Ok(())
}

/// Ages may be off by this much where versions run ahead of the clock or are kept coarsely.
const AGE_SLACK: Duration = Duration::from_millis(1);

async fn age_grows_and_a_touch_does_not_reset_it(context: &mut Context) -> Outcome {
    let key = context.key("k")?;
    context.put(Write::put(key.clone(), "v")).await?;
    let mut passed = Duration::ZERO;
    for time in [0, 7, 60_000, 3_600_000].map(Duration::from_millis) {
        context.pass(time).await;
        passed += time;
        let age = present(context.get(&key).await?, "after a put")?.age;
        ensure!(age.abs_diff(passed) <= AGE_SLACK, "after {passed:?} the age is {age:?}");
        let touch = Write::touch(key.clone(), Some(ttl_ms(86_400_000)?));
        crate::failure::applied(context.write(touch).await?)?;
    }
    context.put(Write::put(key.clone(), "v")).await?;
    let age = present(context.get(&key).await?, "after a put")?.age;
    ensure!(age <= AGE_SLACK, "after a second put the age is {age:?}");
    Ok(())
}

async fn left_shrinks_and_is_none_without_a_deadline(context: &mut Context) -> Outcome {
    let key = context.key("k")?;
    context.put(Write::put(key.clone(), "v")).await?;
    let left = present(context.get(&key).await?, "after a put")?.left;
    ensure_eq!(left, None, "time left without a deadline");
    context.put(Write::put(key.clone(), "v").expiring(ttl_ms(60_000)?)).await?;
    let step = context.can().ttl_step;
    for (seconds, then_pass) in [(60, 1), (59, 29), (30, 29), (1, 0)] {
        let real = Duration::from_secs(seconds);
        let left = present(context.get(&key).await?, "before the deadline")?.left;
        let left = left.ok_or_else(|| crate::failure::Failure("left is None".into()))?;
        let slack = step.max(AGE_SLACK);
        ensure!(left <= real + step, "{real:?} are left, and it says {left:?}");
        ensure!(left + slack >= real, "{real:?} are left, and it says only {left:?}");
        context.pass(Duration::from_secs(then_pass)).await;
    }
    Ok(())
}

async fn left_is_never_overstated(context: &mut Context) -> Outcome {
    for (number, ttl) in [1, 999, 1_000, 1_001, 86_400_123].into_iter().enumerate() {
        let key = context.key(&number.to_string())?;
        context.put(Write::put(key.clone(), "v").expiring(ttl_ms(ttl)?)).await?;
        context.pass(Duration::from_micros(301)).await;
        let entry = present(context.get(&key).await?, "before the deadline")?;
        let left = entry.left.unwrap_or(Duration::MAX);
        ensure!(
            left <= Duration::from_millis(ttl) + context.can().ttl_step,
            "{left:?} of {ttl} ms"
        );
        context.pass(left.saturating_sub(Duration::from_micros(1))).await;
        ensure!(
            context.get(&key).await?.is_some() || left.is_zero(),
            "of {ttl} ms, it said that {left:?} were left, and was gone 1 us before that"
        );
    }
    Ok(())
}

async fn all_reads_tell_the_same(context: &mut Context) -> Outcome {
    let key = context.key("k")?;
    context.put(Write::put(key.clone(), "v").expiring(ttl_ms(3_600_000)?)).await?;
    context.pass(Duration::from_millis(5)).await;
    let one = context.get(&key).await?;
    let many = context.backend.get_many(&[key.clone(), context.key("missing")?]).await?;
    let plain = |entry: &Option<_>| {
        entry.as_ref().map(|entry: &steadfast_backend::Entry| (entry.value.clone(), entry.version))
    };
    ensure_eq!(many.first().map(plain), Some(plain(&one)), "get_many against get");
    if !context.settings.real_time {
        ensure_eq!(many.first(), Some(&one), "age and left of get_many against get");
    }
    Ok(())
}
