//! Content of real programs: accepted content is read back unchanged. Content that could not be is
//! refused when it is written, with an error that names the cause and the alternative.

mod attributes_of_serde;
mod by_hand;
mod changed_types;
mod crates;
mod elements;
mod json;
mod named_values;
mod names;
mod order;
mod own_types;

use std::fmt::Debug;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sessile::engine::MemoryEngine;
use sessile::{Error, SessionId, SessionStore};

/// A store that shares its sessions with stores of other types, as two releases share a file.
fn store_on<C: Serialize + DeserializeOwned>(engine: &Arc<MemoryEngine>) -> SessionStore<C> {
    SessionStore::builder().manual_maintenance().engine(Arc::clone(engine)).build().unwrap()
}

/// Checks that content is read back from every call that stores it, or that each refuses it;
/// returns the reason.
fn stored<C>(content: &C) -> Result<(), String>
where
    C: Serialize + DeserializeOwned + Clone + Debug + PartialEq,
{
    let store = store_on::<C>(&Arc::default());
    let mut session = match store.create(content.clone()) {
        Ok(session) => session,
        Err(error) => {
            assert!(store.is_empty().unwrap(), "it was refused and written");
            return Err(refusal(error));
        }
    };
    let read = |id: &SessionId| store.read(id).unwrap().unwrap().into_content();
    assert_eq!(&read(session.id()), content, "created");
    store.update(&mut session).unwrap();
    assert_eq!(&read(session.id()), content, "updated");
    store.modify(session.id(), |session| *session.content_mut() = content.clone()).unwrap();
    let mut session = store.read(session.id()).unwrap().unwrap();
    assert_eq!(session.content(), content, "modified");
    store.regenerate_id(&mut session).unwrap();
    assert_eq!(&read(session.id()), content, "under a new id");
    let mut visited = Vec::new();
    store.for_each(|_, content| visited.push(content)).unwrap();
    assert_eq!(&visited, std::slice::from_ref(content), "listed");
    Ok(())
}

fn comes_back<C>(content: C)
where
    C: Serialize + DeserializeOwned + Clone + Debug + PartialEq,
{
    if let Err(text) = stored(&content) {
        panic!("{content:?} was refused: {text}");
    }
}

/// Checks that content is refused, with an error that has all these texts.
fn is_refused<C>(content: C, says: &[&str])
where
    C: Serialize + DeserializeOwned + Clone + Debug + PartialEq,
{
    let Err(text) = stored(&content) else { panic!("{content:?} was taken") };
    for part in says {
        assert!(text.contains(part), "no {part:?} in: {text}");
    }
}

/// The text of an error for refused content, without the texts of its causes.
fn refusal(error: Error) -> String {
    assert!(matches!(error, Error::Encode { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("nothing was written"), "{text}");
    text
}

/// The text of an error for content of another type.
fn mismatch<T: Debug>(result: sessile::Result<T>) -> String {
    let error = result.unwrap_err();
    assert!(matches!(error, Error::ContentMismatch { .. }), "{error:?}");
    let text = error.to_string();
    assert!(!text.contains("destroy") && !text.contains("damage"), "{text}");
    text
}

#[test]
fn what_is_refused_leaves_the_session_as_it_was() {
    #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Profile {
        #[serde(skip_serializing_if = "Option::is_none")]
        nickname: Option<String>,
    }
    let named = Profile { nickname: Some("annie".into()) };
    let store = store_on::<Profile>(&Arc::default());
    let mut session = store.create(named.clone()).unwrap();
    let id = session.id().clone();
    session.content_mut().nickname = None;
    assert!(refusal(store.update(&mut session).unwrap_err()).contains("nickname"));
    assert!(refusal(store.regenerate_id(&mut session).unwrap_err()).contains("nickname"));
    assert_eq!(session.id(), &id);
    let modified = store.modify(&id, |session| session.content_mut().nickname = None);
    assert!(refusal(modified.unwrap_err()).contains("nickname"));
    assert_eq!(store.read(&id).unwrap().unwrap().content(), &named);
    // With a value there is no problem: nothing is omitted.
    session.content_mut().nickname = Some("ann".into());
    store.update(&mut session).unwrap();
}
