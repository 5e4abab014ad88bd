//! The types of this crate in content: each value is read back wherever a program may put it.

use std::fmt::Debug;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sessile::{Attributes, Durability, Json, SessionId, SessionKey, Timeouts, UserId, UserLimit};

use super::comes_back;

/// Checks that a value is read back from typed content, `Json`, `Attributes` and `serde_json`.
fn comes_back_everywhere<T>(value: T)
where
    T: Serialize + DeserializeOwned + Clone + Debug + PartialEq,
{
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Holding<T> {
        maybe: Option<T>,
        list: Vec<T>,
        none: Option<T>,
    }
    let holding = Holding { maybe: Some(value.clone()), list: vec![value.clone(); 2], none: None };
    comes_back(value.clone());
    comes_back(holding.clone());
    comes_back(Json(holding.clone()));
    let mut attributes = Attributes::new();
    attributes.set("it", &holding).unwrap();
    assert_eq!(attributes.get("it").unwrap().as_ref(), Some(&holding));
    comes_back(attributes);
    let text = serde_json::to_string(&value).unwrap();
    assert_eq!(serde_json::from_str::<T>(&text).unwrap(), value, "{text}");
    let json = serde_json::to_value(&value).unwrap();
    assert_eq!(serde_json::from_value::<T>(json).unwrap(), value, "{text}");
}

#[test]
fn a_user_comes_back_whatever_its_id_is() {
    let numbers = [i128::MIN, i64::MIN.into(), -1, 0, 7, u64::MAX.into(), i128::MAX];
    numbers.into_iter().for_each(|number| comes_back_everywhere(UserId::from(number)));
    comes_back_everywhere(UserId::from(u128::MAX));
    for text in ["", "7", "ann", "{\"number\":\"7\"}"] {
        comes_back_everywhere(UserId::from(text));
    }
}

#[test]
fn timeouts_come_back_to_the_millisecond() {
    for (inactivity, absolute) in [(1, 1), (1_500, 60_000), (900_000, 604_800_123)] {
        let millis = Duration::from_millis;
        comes_back_everywhere(Timeouts::new(millis(inactivity), millis(absolute)).unwrap());
    }
    comes_back_everywhere(Timeouts::default());
}

#[test]
fn keys_settings_and_attributes_come_back() {
    comes_back_everywhere(SessionId::generate().unwrap().key());
    comes_back_everywhere(SessionKey::from_bytes([0; 16]));
    comes_back_everywhere(UserLimit::Refuse);
    comes_back_everywhere(UserLimit::EndLeastRecentlyActive);
    comes_back_everywhere(Durability::Immediate);
    comes_back_everywhere(Durability::TwoPhase);
    comes_back_everywhere(Durability::Deferred { interval: Duration::from_millis(200) });
    comes_back_everywhere(Json(7_u8));
    let mut attributes = Attributes::new();
    attributes.set("n", 1).unwrap();
    comes_back_everywhere(attributes);
}
