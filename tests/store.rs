//! The store between typed values and a backend.

#![cfg(all(feature = "memory", feature = "bincode", feature = "json"))]
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use serde::{Deserialize, Serialize};
use steadfast::backend::{ErrorKind, Group, Key, StoreUrl, Ttl, Write};
use steadfast::memory::{MemoryBackend, MemoryConfig};
use steadfast::{Codec, Connector, State, Store};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Profile {
    name: String,
    visits: Vec<u64>,
}

impl State for Profile {
    const SCHEMA: u16 = 1;
}

fn profile() -> Profile {
    Profile { name: "Ada".to_owned(), visits: vec![1, u64::MAX] }
}

async fn store(codec: Codec) -> (Store, Key) {
    let backend = steadfast::connect("memory:").await.unwrap();
    let store = Store::builder(backend).namespace("shop").codec(codec).build().unwrap();
    let key = store.key("profile", &Group::new("ada").unwrap(), "main").unwrap();
    (store, key)
}

const CODECS: [Codec; 4] = [Codec::MessagePack, Codec::Postcard, Codec::Bincode, Codec::Json];

#[tokio::test]
async fn every_codec_round_trips_and_reads_the_others() {
    let backend = steadfast::connect("memory:").await.unwrap();
    let stores = CODECS.map(|codec| Store::builder(backend.clone()).codec(codec).build().unwrap());
    let key = stores[0].key("profile", &Group::new("ada").unwrap(), "main").unwrap();
    for writer in &stores {
        let put = writer.put_write(&key, &profile()).unwrap();
        assert!(writer.write(&put).await.unwrap().is_applied());
        for reader in &stores {
            let record = reader.get::<Profile>(&key).await.unwrap().unwrap();
            assert_eq!(record.value, profile());
        }
    }
}

/// Damage behind the checksum: what the decoders themselves make of hostile bytes.
#[tokio::test]
async fn no_codec_panics_on_or_allocates_for_hostile_bytes() {
    /// Encoded without a length, so that its bytes are the payload.
    #[derive(Serialize, Deserialize)]
    struct Raw([u8; 9]);
    impl State for Raw {
        const SCHEMA: u16 = 1;
    }
    for codec in CODECS {
        let (store, key) = store(codec).await;
        // A sequence that claims 2^63 elements, in the varints of postcard and of bincode.
        for hostile in [[255; 9], [253, 255, 255, 255, 255, 255, 255, 255, 127], [0; 9]] {
            let put = store.put_write(&key, &Raw(hostile)).unwrap();
            assert!(store.write(&put).await.unwrap().is_applied());
            let read = store.get::<Profile>(&key).await;
            assert_eq!(read.unwrap_err().kind(), ErrorKind::Corrupt, "{codec:?}");
        }
    }
}

#[tokio::test]
async fn keys_carry_namespace_layout_and_kind() {
    let (store, key) = store(Codec::Postcard).await;
    assert_eq!(key.as_str(), "shop:v1:profile:{ada}:main");
    for own in ["session", "idempotency"] {
        assert!(store.key(own, &Group::new("g").unwrap(), "user").is_err(), "{own}");
    }
    assert!(store.key("no spaces", &Group::new("g").unwrap(), "n").is_err());
    let backend = steadfast::connect("memory:").await.unwrap();
    for bad in ["", "a b", &"n".repeat(41)] {
        assert!(Store::builder(backend.clone()).namespace(bad).build().is_err(), "{bad:?}");
    }
}

#[tokio::test]
async fn an_update_without_effect_writes_nothing() {
    let (store, key) = store(Codec::Postcard).await;
    let set = |state: &mut Option<Profile>| *state = Some(profile());
    let first = store.update(&key, None, set).await.unwrap().version;
    assert_eq!(store.update(&key, None, set).await.unwrap().version, first);
    let removed = store.update(&key, None, |state: &mut Option<Profile>| *state = None).await;
    assert_eq!(removed.unwrap().version, None);
    assert!(store.get::<Profile>(&key).await.unwrap().is_none());
    let absent = store.update(&key, None, |state: &mut Option<Profile>| *state = None).await;
    assert_eq!(absent.unwrap().version, None);
}

#[tokio::test]
async fn bad_lifetimes_and_oversize_values_are_typed_errors() {
    use std::time::Duration;
    let (store, key) = store(Codec::Postcard).await;
    for span in [Duration::ZERO, Ttl::MAX.as_duration() + Duration::from_millis(1), Duration::MAX] {
        assert_eq!(Ttl::new(span).unwrap_err().kind(), ErrorKind::Invalid);
        let sessions = steadfast::Sessions::<Profile>::builder(&store).idle(span);
        let error = sessions.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "idle {span:?}");
        let sessions = steadfast::Sessions::<Profile>::builder(&store).absolute(span);
        let error = sessions.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "absolute {span:?}");
        let claims = steadfast::Idempotency::<Profile>::builder(&store).lease(span);
        assert_eq!(claims.build().unwrap_err().kind(), ErrorKind::Invalid);
    }
    for sessions in [0, store.info().capabilities.batch_len_max] {
        let builder = steadfast::Sessions::<Profile>::builder(&store).per_principal_max(sessions);
        assert_eq!(builder.build().unwrap_err().kind(), ErrorKind::Invalid, "{sessions}");
    }
    let huge = Profile { name: "x".repeat(17 << 20), visits: Vec::new() };
    let error = store.update(&key, None, |state| *state = Some(huge.clone())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(store.get::<Profile>(&key).await.unwrap().is_none());
}

#[tokio::test]
async fn a_url_that_cannot_be_opened_says_what_can() {
    for (url, word) in [
        ("", "memory:"),
        ("memory", "memory:"),
        ("ftp:x", "memory:"),
        ("MEMORYX:", "memory:"),
        ("memory+x:", "memory:"),
        ("memory:x", "memory:"),
        ("memory:?pool=3", "the option pool; memory takes namespace, limit"),
        ("memory:?limit=64", "the option limit is a size"),
        ("memory:\n", "white space"),
        (" memory:", "white space"),
        ("nowhere:x\n", "white space"),
        ("memory:?namespace=", "1 to 40"),
        ("memory:?namespace=a%20b", "1 to 40"),
    ] {
        let error = steadfast::connect(url).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{url}");
        assert!(error.to_string().contains(word), "{url}: {error}");
    }
    // Without its feature a store is named with it, else with the form of its URLs.
    for (url, word) in [
        ("redb:", "redb:PATH"),
        ("redb://x", "redb:PATH"),
        ("redb:x?cache=1", "the option cache"),
        ("sled:", "sled:PATH"),
        ("redis:", "redis://HOST"),
        ("redis://h?pool=3", "the option pool"),
        ("rediss://h?tls_cert=/x", "tls_cert"),
        ("valkey-cluster://h/1", "database 0"),
        ("memcached:h", "memcached://HOST"),
        ("memcached://h?lanes=2", "the option lanes"),
    ] {
        let error = steadfast::connect(url).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{url}");
        let told = error.to_string();
        assert!(told.contains(word) || told.contains("needs the cargo feature"), "{url}: {error}");
    }
}

#[tokio::test]
async fn the_case_of_a_scheme_does_not_matter_and_memory_takes_a_limit() {
    let store = steadfast::connect("MEMORY:?limit=1MiB").await.unwrap();
    assert_eq!(store.check().await.unwrap().limit_bytes, Some(1 << 20));
}

#[tokio::test]
async fn a_store_of_ones_own_is_opened_by_its_scheme() {
    let open = async |mut url: StoreUrl| {
        let limit_bytes = url.take_bytes("size")?.unwrap_or(1 << 20);
        url.finish()?;
        Ok(MemoryBackend::new(MemoryConfig { limit_bytes }))
    };
    let connector = Connector::new().with("Toy", open);
    let toy = connector.connect("TOY:?size=2MiB&namespace=shop").await.unwrap();
    assert_eq!(toy.check().await.unwrap().limit_bytes, Some(2 << 20));
    assert_eq!(toy.namespace.as_deref(), Some("shop"));
    assert_eq!(connector.connect("memory:").await.unwrap().info().name, "memory");
    for (url, word) in [
        ("toy:?limit=1MiB", "the option limit; toy takes namespace, size"),
        ("toy:?namespace=a%20b", "1 to 40"),
        ("toy:\n", "white space"),
        ("pigeon:", "toy:"),
    ] {
        let error = connector.connect(url).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{url}");
        assert!(error.to_string().contains(word), "{url}: {error}");
    }
    let error = connector.with("memory", open).connect("memory:?limit=1MiB").await.unwrap_err();
    assert!(error.to_string().contains("memory takes namespace, size"), "{error}");
}

/// What the operator says in the URL goes before what the code says.
#[tokio::test]
async fn a_url_may_decide_the_namespace() {
    let opened = steadfast::connect("memory:?namespace=theirs").await.unwrap();
    let key = |store: &Store| store.key("profile", &Group::new("ada").unwrap(), "main").unwrap();
    let theirs = Store::builder(opened.clone()).namespace("ours").build().unwrap();
    assert!(key(&theirs).as_str().starts_with("theirs:v1:"));
    let ours = Store::builder(opened.backend).namespace("ours").build().unwrap();
    assert!(key(&ours).as_str().starts_with("ours:v1:"));
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digits).collect()
}

/// Records as a version before wrote them, and as this one does.
#[tokio::test]
async fn what_was_stored_before_is_read_and_written_the_same_way() {
    const POSTCARD: &str = "53460101000100000000000000000000000000000000000000000010a3f79b6c\
                            034164610201ffffffffffffffffff01";
    const MESSAGE_PACK: &str = "5346010400010000000000000000000000000000000000000000001ce26d976a\
                                82a46e616d65a3416461a67669736974739201cfffffffffffffffff";
    for (codec, stored) in [(Codec::Postcard, POSTCARD), (Codec::MessagePack, MESSAGE_PACK)] {
        let (store, key) = store(codec).await;
        let Write::Put { value, .. } = store.put_write(&key, &profile()).unwrap() else { panic!() };
        assert_eq!(value, bytes(stored), "{codec:?}");
    }
    let (store, key) = store(Codec::default()).await;
    for stored in [POSTCARD, MESSAGE_PACK] {
        let put = Write::put(key.clone(), bytes(stored));
        assert!(store.write(&put).await.unwrap().is_applied());
        assert_eq!(store.get::<Profile>(&key).await.unwrap().unwrap().value, profile());
    }
}
