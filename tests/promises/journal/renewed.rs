//! A session that was renewed while a change of it waits: the old id leads to that change, too.

use super::*;

#[tokio::test]
async fn what_waits_goes_on_when_the_old_id_gets_a_new_one() {
    for way in ["rotate", "step up", "rotate, anonymous", "elevate, anonymous"] {
        let faulty = Faulty::new(Arc::new(MemoryBackend::new(MemoryConfig::default())));
        let store = Store::builder(faulty.clone()).attempts(1).near(near()).build().unwrap();
        let (dir, reports) = (tempfile::tempdir().unwrap(), Reports::default());
        let here = over(&store, journal(&dir), &reports);
        let new = Basket { items: vec![0] };
        let old = if way.ends_with("anonymous") {
            here.create(new).await.unwrap().id
        } else {
            here.sign_in(&alice(), "Firefox", new).await.unwrap().id
        };
        let renewed = here.rotate(&old, Rotation::Renewal).await.unwrap().id;
        here.load(&renewed).await.unwrap().unwrap();
        faulty.fail_next(&[Fault::Cut; 10_000]);
        assert!(add(&here, &renewed, 1).await.is_queued());
        // What is saved in the background has failed, and makes a pause.
        faulty.trips();
        until("the background has tried", async || faulty.trips() > 0).await;
        faulty.heal();
        let session = if way.starts_with("rotate") {
            here.rotate(&old, Rotation::PrivilegeChange).await
        } else {
            here.elevate(&old, &alice(), "Firefox").await
        };
        assert_eq!(session.unwrap().state.items, [0, 1], "{way}");
        assert!(reports.lock().unwrap().is_empty(), "{way}");
    }
}
