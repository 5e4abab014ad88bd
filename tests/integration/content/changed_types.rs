//! A type that changed without a new version: older content belongs to another type, and is never
//! read as another value.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sessile::engine::MemoryEngine;
use sessile::{Attributes, Json, SessionStore};

use super::{mismatch, store_on};

/// Checks that the content of one release is refused by the next, and stays readable by the first.
fn is_another_shape<Old, New>(content: Old)
where
    Old: Serialize + DeserializeOwned + Clone + std::fmt::Debug + PartialEq,
    New: Serialize + DeserializeOwned + std::fmt::Debug,
{
    let engine = Arc::<MemoryEngine>::default();
    let (old, new) = (store_on::<Old>(&engine), store_on::<New>(&engine));
    let id = old.create(content.clone()).unwrap().id().clone();
    mismatch(new.read(&id));
    mismatch(new.read_and_extend(&id));
    mismatch(new.modify(&id, |_| assert!(id.encode().is_empty(), "it was not read")));
    mismatch(new.for_each(|_, _| -> () { panic!("it was not read") }));
    assert_eq!(new.stats().unwrap().damaged_records, 0, "it is sound");
    let report = new.check().unwrap();
    assert_eq!(report.problem_count, 1, "{:?}", report.problems);
    assert_eq!(old.read(&id).unwrap().unwrap().content(), &content);
}

/// Checks that the next release reads the content of one release as the same value.
fn is_the_same_shape<Old, New>(content: Old, expected: &New)
where
    Old: Serialize + DeserializeOwned,
    New: Serialize + DeserializeOwned + std::fmt::Debug + PartialEq,
{
    let engine = Arc::<MemoryEngine>::default();
    let (old, new) = (store_on::<Old>(&engine), store_on::<New>(&engine));
    let id = old.create(content).unwrap().id().clone();
    assert_eq!(new.read(&id).unwrap().unwrap().content(), expected);
}

mod first {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub(super) struct Login {
        pub(super) user_id: u32,
        pub(super) device_id: u32,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub(super) enum Role {
        Guest,
        Admin,
        Owner,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub(super) struct Cart {
        pub(super) items: Vec<(u32, u8)>,
        pub(super) coupon: Option<String>,
    }
}

mod second {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub(super) struct Login {
        pub(super) device_id: u32,
        pub(super) user_id: u32,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub(super) enum Role {
        Guest,
        Member,
        Admin,
        Owner,
    }
}

#[test]
fn an_option_that_moves_into_what_it_held_is_not_read_as_that() {
    is_another_shape::<_, (Option<u8>, u8)>(Some((1u8, 2u8)));
    is_another_shape::<_, Option<(u8, u8)>>((Some(1u8), 2u8));
    is_another_shape::<_, Vec<Option<u8>>>(Some(vec![5u8]));
    is_another_shape::<_, Option<((u8,), u8)>>((Some((1u8,)), 2u8));
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Had {
        V { x: u8 },
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Outside {
        p: Had,
        q: u8,
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Inside {
        x: u8,
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Has {
        V { p: Inside, q: u8 },
    }
    is_another_shape::<_, Has>(Outside { p: Had::V { x: 1 }, q: 2 });
    is_another_shape::<_, Outside>(Has::V { p: Inside { x: 1 }, q: 2 });
}

#[test]
fn fields_that_change_places_are_not_read_as_one_another() {
    let login = first::Login { user_id: 1, device_id: 2 };
    is_another_shape::<_, second::Login>(login.clone());
    is_another_shape::<_, Vec<second::Login>>(vec![login.clone(), login.clone()]);
    is_another_shape::<_, Option<second::Login>>(Some(login));
}

#[test]
fn a_field_that_comes_goes_or_is_renamed_makes_another_shape() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct More {
        user_id: u32,
        device_id: u32,
        #[serde(default)]
        note: (),
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Fewer {
        user_id: u32,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Renamed {
        user_id: u32,
        phone_id: u32,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Wider {
        user_id: u32,
        device_id: u64,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Optional {
        user_id: u32,
        device_id: Option<u32>,
    }
    let login = first::Login { user_id: 1, device_id: 2 };
    is_another_shape::<_, More>(login.clone());
    is_another_shape::<_, Fewer>(login.clone());
    is_another_shape::<_, Renamed>(login.clone());
    is_another_shape::<_, Wider>(login.clone());
    is_another_shape::<_, Optional>(login.clone());
    is_another_shape::<_, (u32, u32)>(login);
}

#[test]
fn a_variant_that_moves_is_not_read_as_the_one_in_its_place() {
    for role in [first::Role::Admin, first::Role::Owner] {
        is_another_shape::<_, second::Role>(role.clone());
        is_another_shape::<_, Vec<second::Role>>(vec![first::Role::Guest, role]);
    }
    // A variant whose number did not change reads as before.
    is_the_same_shape(first::Role::Guest, &second::Role::Guest);
}

/// The number of `Owner` is now that of `Deputy`, and its name is a name of `Boss`.
#[test]
fn a_variant_is_read_by_its_name_and_not_by_its_number() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Renamed {
        Guest,
        Admin,
        #[serde(alias = "Owner")]
        Boss,
        Deputy,
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Fewer {
        Guest,
        #[serde(alias = "Owner")]
        Boss,
        Deputy,
    }
    is_the_same_shape(first::Role::Admin, &Renamed::Admin);
    is_the_same_shape(first::Role::Owner, &Fewer::Boss);
    is_another_shape::<_, Renamed>(first::Role::Owner);
}

/// A client that chooses the order of a list must not be able to hide the change.
#[test]
fn a_list_of_variants_is_not_taken_for_its_mirror_image() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Up {
        Read,
        Write,
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Down {
        Write,
        Read,
    }
    for length in 1..=10 {
        for choice in 0..1_u32 << length {
            let list: Vec<_> = (0..length)
                .map(|at| if choice >> at & 1 == 0 { Up::Read } else { Up::Write })
                .collect();
            let engine = Arc::<MemoryEngine>::default();
            let id = store_on(&engine).create(list).unwrap().id().clone();
            mismatch(store_on::<Vec<Down>>(&engine).read(&id));
        }
    }
}

#[test]
fn kinds_that_bincode_writes_alike_are_told_apart() {
    is_another_shape::<u8, bool>(1);
    is_another_shape::<u32, u64>(7);
    is_another_shape::<u32, i32>(7);
    is_another_shape::<u16, Option<u8>>(1);
    is_another_shape::<Option<u8>, Vec<u8>>(Some(7));
    is_another_shape::<String, Vec<u8>>("x".into());
    is_another_shape::<String, serde_bytes::ByteBuf>("x".into());
    is_another_shape::<Vec<u8>, serde_bytes::ByteBuf>(vec![7]);
    is_another_shape::<char, u8>('x');
    is_another_shape::<(u8, (u8, u8)), ((u8, u8), u8)>((1, (2, 3)));
    is_another_shape::<(Vec<u8>, u8), (u8, Vec<u8>)>((vec![7], 1));
    is_another_shape::<Vec<Vec<u8>>, Vec<u8>>(vec![vec![], vec![]]);
    is_another_shape::<Vec<(u8, u8)>, std::collections::BTreeMap<u8, u8>>(vec![(1, 2)]);
    is_another_shape::<f32, u32>(1.0);
}

#[test]
fn what_does_not_change_the_meaning_changes_no_shape() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename = "Basket")]
    struct CartOfToday {
        items: std::collections::VecDeque<(u32, u8)>,
        coupon: Option<Box<str>>,
    }
    let cart = first::Cart { items: vec![(1, 2)], coupon: Some("ten".into()) };
    let expected = CartOfToday { items: [(1, 2)].into(), coupon: Some("ten".into()) };
    is_the_same_shape(cart, &expected);
    is_the_same_shape("x".to_owned(), &Box::<str>::from("x"));
    is_the_same_shape(vec![1u8], &std::collections::BTreeSet::from([1u8]));
    is_the_same_shape(std::time::Duration::from_secs(1), &std::time::Duration::from_secs(1));
}

#[test]
fn typed_content_attributes_and_json_are_not_read_as_one_another() {
    let engine = Arc::<MemoryEngine>::default();
    let mut attributes = Attributes::new();
    attributes.set("a", 1).unwrap();
    let typed = store_on::<String>(&engine).create("[1]".into()).unwrap().id().clone();
    let json = store_on::<Json<Vec<u8>>>(&engine).create(Json(vec![1])).unwrap().id().clone();
    let named = store_on::<Attributes>(&engine).create(attributes).unwrap().id().clone();
    type Map = std::collections::BTreeMap<String, String>;
    assert!(mismatch(store_on::<String>(&engine).read(&json)).contains("`Json<T>`"));
    assert!(mismatch(store_on::<Map>(&engine).read(&named)).contains("`Attributes`"));
    let text = mismatch(store_on::<Json<Vec<u8>>>(&engine).read(&typed));
    assert!(text.contains("a type of the program's"), "{text}");
    assert!(mismatch(store_on::<Attributes>(&engine).read(&json)).contains("`Json<T>`"));
}

#[test]
fn a_migration_decodes_what_was_written_and_nothing_else() {
    let engine = Arc::<MemoryEngine>::default();
    let id = store_on::<first::Login>(&engine)
        .create(first::Login { user_id: 1, device_id: 2 })
        .unwrap()
        .id()
        .clone();
    let builder = || SessionStore::<second::Login>::builder().engine(Arc::clone(&engine));
    let wrong = builder().content_version(1, |old| old.decode()).build().unwrap();
    let error = wrong.read(&id).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("not a") && source.contains("second::Login"), "{source}");
    mismatch::<()>(Err(error));

    let migrate = |old: sessile::StoredContent<'_>| {
        let first::Login { user_id, device_id } = old.decode()?;
        Ok(second::Login { device_id, user_id })
    };
    let right = builder().content_version(1, migrate).build().unwrap();
    let content = right.read(&id).unwrap().unwrap().into_content();
    assert_eq!(content, second::Login { device_id: 2, user_id: 1 });
}

#[test]
fn typed_content_can_migrate_to_json() {
    let engine = Arc::<MemoryEngine>::default();
    let login = first::Login { user_id: 1, device_id: 2 };
    let id = store_on::<first::Login>(&engine).create(login.clone()).unwrap().id().clone();
    let store = SessionStore::<Json<first::Login>>::builder()
        .engine(Arc::clone(&engine))
        .content_version(1, |old| old.decode().map(Json))
        .build()
        .unwrap();
    assert_eq!(**store.read(&id).unwrap().unwrap().content(), login);
}

/// Such a type cannot be stored, since nothing tells which of its names are fields.
#[test]
fn a_type_with_an_alias_reads_nothing_that_was_stored_without_it() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Plain {
        name: String,
        nick: String,
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Aliased {
        first_name: String,
        #[serde(alias = "nick")]
        name: String,
    }
    is_another_shape::<_, Aliased>(Plain { name: "ann".into(), nick: "annie".into() });
}

/// Such a type cannot be stored. It must not read what another type stored either.
#[test]
fn a_type_that_writes_and_reads_under_swapped_names_reads_nothing() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Plain {
        a: u8,
        b: u8,
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Swapped {
        #[serde(rename(serialize = "a", deserialize = "b"))]
        one: u8,
        #[serde(rename(serialize = "b", deserialize = "a"))]
        other: u8,
    }
    is_another_shape::<_, Swapped>(Plain { a: 1, b: 2 });
}
