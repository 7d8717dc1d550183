//! Scans: every stable key is seen, page by page, while others come and go.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use steadfast_backend::{Cursor, ErrorKind, Group, Key, Namespace, ScanRequest, Write};

use crate::case::cases;
use crate::context::{Context, ttl_ms};
use crate::failure::{Outcome, applied, ensure, ensure_eq, ensure_kind, fail};

cases!("scan":
    an_empty_namespace_has_no_keys [Scan],
    all_pages_together_are_all_keys [Scan],
    pages_are_about_as_long_as_asked [Scan],
    expired_and_deleted_keys_are_not_listed [Scan],
    namespaces_count_by_whole_segments [Scan],
    every_stable_key_is_seen_while_writers_run [Scan],
    a_scan_ends_though_its_cursor_was_deleted [Scan],
    a_foreign_cursor_is_invalid [Scan],
    it_is_unsupported [NoScan],
);

async fn fill(context: &Context, count: usize) -> Outcome<BTreeSet<Key>> {
    let keys = context.keys(count)?;
    for key in &keys {
        context.put(Write::put(key.clone(), "v")).await?;
    }
    Ok(keys.into_iter().collect())
}

/// What a scan should have listed, against what it did.
fn compare(listed: Vec<Key>, expected: &BTreeSet<Key>) -> Outcome {
    let listed: BTreeSet<Key> = listed.into_iter().collect();
    let names = |keys: Vec<&Key>| {
        keys.into_iter().take(5).map(|key| key.as_str().to_owned()).collect::<Vec<_>>()
    };
    let missing = names(expected.difference(&listed).collect());
    let extra = names(listed.difference(expected).collect());
    ensure!(missing.is_empty(), "not listed: {missing:?} ...");
    ensure!(extra.is_empty(), "listed and should not be: {extra:?} ...");
    Ok(())
}

async fn an_empty_namespace_has_no_keys(context: &mut Context) -> Outcome {
    let listed = context.scan_all(&context.namespace, 10).await?;
    ensure_eq!(listed.len(), 0, "the number of keys");
    Ok(())
}

async fn all_pages_together_are_all_keys(context: &mut Context) -> Outcome {
    let expected = fill(context, 64).await?;
    for limit in [1, 7, 32, 63, 64, 65, 10_000] {
        let listed = context.scan_all(&context.namespace, limit).await?;
        compare(listed, &expected).map_err(|failure| {
            crate::failure::Failure(format!("with pages of {limit}: {}", failure.0))
        })?;
    }
    Ok(())
}

async fn pages_are_about_as_long_as_asked(context: &mut Context) -> Outcome {
    fill(context, 64).await?;
    let limit = NonZeroUsize::new(8).unwrap_or(NonZeroUsize::MIN);
    let request = ScanRequest { namespace: context.namespace.clone(), after: None, limit };
    let page = context.backend.scan(request).await?;
    ensure!(page.keys.len() <= 32, "a page of about 8 keys has {}", page.keys.len());
    ensure!(page.next.is_some(), "after {} of 64 keys there is no cursor", page.keys.len());
    Ok(())
}

async fn expired_and_deleted_keys_are_not_listed(context: &mut Context) -> Outcome {
    let mut expected = fill(context, 12).await?;
    for (number, key) in context.keys(12)?.into_iter().enumerate() {
        let write = match number % 3 {
            0 => Write::delete(key.clone()),
            1 => Write::touch(key.clone(), Some(ttl_ms(1)?)),
            _ => continue,
        };
        applied(context.write(write).await?)?;
        expected.remove(&key);
    }
    context.pass(Duration::from_millis(1) + context.can().ttl_step).await;
    for limit in [1, 100] {
        compare(context.scan_all(&context.namespace, limit).await?, &expected)?;
    }
    Ok(())
}

async fn namespaces_count_by_whole_segments(context: &mut Context) -> Outcome {
    let base = context.namespace.child("shop")?;
    let mut expected = BTreeSet::new();
    for (name, inside) in [
        ("shop", true),
        ("shop:v1", true),
        ("shop:v1:cart", true),
        ("shopping", false),
        ("shop-2", false),
        ("shop.3", false),
        ("sho", false),
        ("other:shop", false),
    ] {
        for group in ["a", "shop"] {
            let namespace = context.namespace.child(name)?;
            let key = Key::new(&namespace, &Group::new(group)?, "n")?;
            context.put(Write::put(key.clone(), "v")).await?;
            if inside {
                expected.insert(key);
            }
        }
    }
    for limit in [1, 3, 100] {
        compare(context.scan_all(&base, limit).await?, &expected)?;
    }
    let nothing = Namespace::new(&format!("{}x", context.namespace.as_str()))?;
    ensure_eq!(context.scan_all(&nothing, 10).await?.len(), 0, "keys of a longer namespace");
    Ok(())
}

async fn every_stable_key_is_seen_while_writers_run(context: &mut Context) -> Outcome {
    let stable = fill(context, 100).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for writer in 0..4 {
        // These keys sort between the stable ones.
        let keys: Vec<Key> = (0..100)
            .map(|number| context.key(&format!("{number:04}-{writer}")))
            .collect::<Outcome<_>>()?;
        let (backend, stop) = (Arc::clone(&context.backend), Arc::clone(&stop));
        writers.push(tokio::spawn(async move {
            for key in keys.iter().cycle() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let _ = backend.write(&Write::put(key.clone(), "v")).await?;
                let _ = backend.write(&Write::delete(key.clone())).await?;
                tokio::task::yield_now().await;
            }
            Ok::<_, steadfast_backend::Error>(())
        }));
    }
    let mut missing = Vec::new();
    for limit in [3, 10, 50, 3, 10, 50] {
        let listed = context.scan_all(&context.namespace, limit).await;
        let listed: BTreeSet<Key> = listed?.into_iter().collect();
        missing.extend(stable.difference(&listed).map(|key| (limit, key.name().to_owned())));
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await??;
    }
    ensure!(missing.is_empty(), "not seen (page limit, key): {missing:?}");
    Ok(())
}

async fn a_scan_ends_though_its_cursor_was_deleted(context: &mut Context) -> Outcome {
    let mut left = fill(context, 30).await?;
    let limit = NonZeroUsize::new(4).unwrap_or(NonZeroUsize::MIN);
    let mut request = ScanRequest { namespace: context.namespace.clone(), after: None, limit };
    for _ in 0..1_000 {
        let page = context.backend.scan(request.clone()).await?;
        for key in &page.keys {
            left.remove(key);
            applied(context.write(Write::delete(key.clone())).await?)?;
        }
        if page.next.is_none() {
            ensure_eq!(left.len(), 0, "keys that a scan with deletes never listed");
            return Ok(());
        }
        request.after = page.next;
    }
    fail!("a scan of 30 keys did not end after 1,000 pages")
}

async fn a_foreign_cursor_is_invalid(context: &mut Context) -> Outcome {
    fill(context, 3).await?;
    for cursor in [&b"\xff\xfe\x00not a cursor"[..], b"", b"{", &[0xff; 300]] {
        let request = ScanRequest {
            namespace: context.namespace.clone(),
            after: Some(Cursor(Bytes::copy_from_slice(cursor))),
            limit: NonZeroUsize::MIN,
        };
        let page = context.backend.scan(request).await;
        ensure_kind(page, ErrorKind::Invalid, "a cursor that it did not make")?;
    }
    Ok(())
}

async fn it_is_unsupported(context: &mut Context) -> Outcome {
    let request =
        ScanRequest { namespace: context.namespace.clone(), after: None, limit: NonZeroUsize::MIN };
    ensure_kind(context.backend.scan(request).await, ErrorKind::Unsupported, "a scan")
}
