use sessile::*;
#[test]
fn smoke() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.redb");
    let store: SessionStore = SessionStore::open(&path).unwrap();
    let mut s = store.create_for_user("ann", Attributes::new()).unwrap();
    s.content_mut().set("a", 1).unwrap();
    store.update(&mut s).unwrap();
    assert!(store.extend_lifetime(s.id()).unwrap());
    let old = s.id().clone();
    store.regenerate_id(&mut s).unwrap();
    assert!(store.read(&old).unwrap().is_none());
    assert!(matches!(SessionStore::<u32>::open(&path), Err(Error::AlreadyOpen { .. })));
    println!("{:?}", store.stats().unwrap());
    store.close().unwrap();
    let store: SessionStore = SessionStore::open(&path).unwrap();
    assert_eq!(store.read(s.id()).unwrap().unwrap().content().get::<u32>("a").unwrap(), Some(1));
    assert_eq!(store.len().unwrap(), 1);
    println!("{:?}", std::fs::read_dir(dir.path()).unwrap().collect::<Vec<_>>());
}
