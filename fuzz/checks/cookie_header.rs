//! What holds for any bytes that a client sends as cookies or as a form's token, and for any text that
//! a program names its cookie with. Shared by the fuzz target and the test that replays its corpus.

use sessile::SessionId;
use sessile::testing::ManualClock;
use sessile::web::cookie::{Presented, SameSite, SessionCookie};
use sessile::web::csrf::{CsrfKey, StatelessCsrf};

use crate::user_agent::{Request, keep, requested};

/// The host that sets the cookie, where no domain is named.
const HOST: &str = "www.example.com";

/// The first byte tells what the rest is, and chooses among the settings.
pub(crate) fn check(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % 3 {
        0 => check_headers(kind / 3, bytes),
        1 => check_settings(kind / 3, bytes),
        _ => check_token(bytes),
    }
}

/// Each line is a header.
fn check_headers(choice: u8, bytes: &[u8]) {
    let cookie = match choice % 3 {
        0 => SessionCookie::default(),
        1 => SessionCookie::builder().secure(false).build().expect("the defaults without TLS"),
        _ => SessionCookie::builder().name("s").build().expect("a short name"),
    };
    let headers: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').collect();
    let (is_there, ids) = expected(cookie.name().as_bytes(), &headers);
    let presented = cookie.present(&headers);
    match (&presented, &ids[..]) {
        (Presented::One(found), [id]) => assert!(found == id, "another id"),
        (Presented::Several, [_, _, ..]) => {}
        (Presented::Malformed, []) => assert!(is_there, "there is no such cookie"),
        (Presented::Nothing, []) => assert!(!is_there, "there is such a cookie"),
        (other, ids) => panic!("{other:?} of {} ids", ids.len()),
    }
    // An id stands in a header as it is written, behind the very name; and `Debug` shows nothing of it.
    if let Some(id) = cookie.read(&headers) {
        let text = id.encode();
        let stands = |header: &&[u8]| {
            let named = format!("{}=", cookie.name());
            let is_named = header.windows(named.len()).any(|part| part == named.as_bytes());
            is_named && header.windows(text.len()).any(|part| part == text.as_bytes())
        };
        assert!(headers.iter().any(stands));
        assert!(!format!("{presented:?}").contains(&text));
    }
    // Whatever the crate `cookie` makes of a pair: no panic, and no id that is not its value.
    for pair in String::from_utf8_lossy(bytes).split(';') {
        if let Ok(parsed) = cookie::Cookie::parse(pair)
            && let Some(id) = cookie.read_cookie(&parsed)
        {
            assert_eq!(parsed.value_trimmed(), id.encode());
        }
    }
}

/// Whether a cookie has the name, and the different ids: one byte after the other.
fn expected(name: &[u8], headers: &[&[u8]]) -> (bool, Vec<SessionId>) {
    let (mut is_there, mut ids) = (false, Vec::new());
    for header in headers {
        let mut pairs = vec![Vec::new()];
        for &byte in *header {
            match byte {
                b';' => pairs.push(Vec::new()),
                other => pairs.last_mut().expect("one at least").push(other),
            }
        }
        for mut pair in pairs {
            strip(&mut pair);
            let Some(equals) = pair.iter().position(|&byte| byte == b'=') else { continue };
            if pair[..equals] != *name {
                continue;
            }
            is_there = true;
            let mut value = pair.split_off(equals + 1);
            strip(&mut value);
            if value.len() >= 2 && value.first() == Some(&b'"') && value.last() == Some(&b'"') {
                value.remove(0);
                value.pop();
            }
            let id = String::from_utf8(value).ok().and_then(|text| SessionId::parse(&text).ok());
            ids.extend(id.filter(|id| !ids.contains(id)));
        }
    }
    (is_there, ids)
}

fn strip(bytes: &mut Vec<u8>) {
    while matches!(bytes.first(), Some(b' ' | b'\t')) {
        bytes.remove(0);
    }
    while matches!(bytes.last(), Some(b' ' | b'\t')) {
        bytes.pop();
    }
}

/// Three lines: the name, the path, and the domain unless it is empty.
fn check_settings(choice: u8, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split('\n');
    let (name, path) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let domain = lines.next().filter(|domain| !domain.is_empty());
    let flag = |bit: u8| choice & (1 << bit) != 0;
    let secure = flag(0);
    let builder = SessionCookie::builder()
        .name(name)
        .path(path)
        .secure(secure)
        .http_only(flag(1))
        .partitioned(flag(2))
        .same_site([SameSite::Lax, SameSite::None][usize::from(flag(3))]);
    let built = match domain {
        Some(domain) => builder.domain(domain).build(),
        None => builder.build(),
    };
    let Ok(cookie) = built else { return };
    let id = SessionId::parse("AAAAAAAAAAAAAAAAAAAAAA").expect("an id");
    let set = cookie.set_id(&id);
    assert!(set.bytes().all(|byte| matches!(byte, 0x20..=0x7e)), "{set}");
    // A browser keeps it as it was set, sends it back, and forgets it when it is told to.
    let domain = domain.map(|domain| {
        let domain = domain.to_ascii_lowercase();
        domain.strip_prefix('.').map_or_else(|| domain.clone(), str::to_owned)
    });
    let host = domain.as_ref().map_or_else(|| HOST.into(), |domain| format!("www.{domain}"));
    let request = Request { host: &host, path: "/somewhere/else", is_tls: secure };
    let kept = keep(&set, request).unwrap_or_else(|| panic!("a browser refuses {set}"));
    assert_eq!((kept.name.as_str(), kept.path.as_str(), &kept.domain), (name, path, &domain));
    assert_eq!((kept.secure, kept.http_only, kept.partitioned), (secure, flag(1), flag(2)));
    let requested = requested(path);
    assert!(kept.goes_to(Request { path: &requested, ..request }, &host), "{requested}");
    assert_eq!(cookie.read([kept.sent()]), Some(id));
    let cleared = keep(&cookie.clear(), request).expect("as much as the other");
    assert_eq!((cleared.name, cleared.path, cleared.domain), (kept.name, kept.path, kept.domain));
    assert_eq!(cleared.max_age, Some(0));
}

/// The bytes are a text, and then what a token is changed by.
fn check_token(bytes: &[u8]) {
    let key = CsrfKey::from_secret(&[7; 32]).expect("long enough");
    let csrf = StatelessCsrf::new(key).clock(ManualClock::new());
    let id = SessionId::parse("AAAAAAAAAAAAAAAAAAAAAA").expect("an id");
    let token = csrf.token(&id).expect("the clock shows 2026");
    let verifies = |text: &str| csrf.verify(&id, text);
    let text = String::from_utf8_lossy(bytes);
    assert_eq!(verifies(&text), text == token, "another token is accepted");
    let mut changed = token.clone().into_bytes();
    for (character, change) in changed.iter_mut().zip(bytes) {
        *character ^= change & 0x7f;
    }
    let changed = String::from_utf8(changed).expect("still ASCII");
    assert_eq!(verifies(&changed), changed == token, "a changed token is accepted");
}
