//! Reading `Cookie` headers: the one id, or none.

use sessile::SessionId;
use sessile::web::cookie::{Presented, SessionCookie};

use super::{ID, OTHER, store, without_tls};

/// The result for the cookie name `session`: `ID` for the id `ID`.
fn read(headers: &[&str]) -> Option<String> {
    without_tls().read(headers).map(|id| id.encode())
}

#[test]
fn the_id_is_found_among_other_cookies_and_headers() {
    for headers in [
        &["session=AAAAAAAAAAAAAAAAAAAAAA"][..],
        &["theme=dark; session=AAAAAAAAAAAAAAAAAAAAAA; lang=en"],
        &["theme=dark", "session=AAAAAAAAAAAAAAAAAAAAAA", "lang=en"],
        &["", ";", "; ;;session=AAAAAAAAAAAAAAAAAAAAAA;;"],
        &["theme=dark;session=AAAAAAAAAAAAAAAAAAAAAA"],
        &["theme=dark;\t session=AAAAAAAAAAAAAAAAAAAAAA \t"],
        &["session=\"AAAAAAAAAAAAAAAAAAAAAA\""],
        &["session= AAAAAAAAAAAAAAAAAAAAAA"],
        // The same id twice is one id.
        &["session=AAAAAAAAAAAAAAAAAAAAAA; session=AAAAAAAAAAAAAAAAAAAAAA"],
        &["session=AAAAAAAAAAAAAAAAAAAAAA", "session=\"AAAAAAAAAAAAAAAAAAAAAA\""],
    ] {
        assert_eq!(read(headers).as_deref(), Some(ID), "{headers:?}");
    }
}

#[test]
fn a_value_that_is_no_id_is_passed_over() {
    for value in [
        "",
        "\"",
        "\"\"",
        "\"AAAAAAAAAAAAAAAAAAAAAA",
        "AAAAAAAAAAAAAAAAAAAAAA\"",
        "\"\"AAAAAAAAAAAAAAAAAAAAAA\"\"",
        "'AAAAAAAAAAAAAAAAAAAAAA'",
        "=AAAAAAAAAAAAAAAAAAAAAA",
        "AAAAAAAAAAAAAAAAAAAAAA=",
        "AAAAAAAAAAAAAAAAAAAAAA==",
        "AAAAAAAAAAAAAAAAAAAAAB",
        "AAAAAAAAAAAAAAAAAAAAA",
        "AAAAAAAAAAAAAAAAAAAAAAA",
        "AAAAAAAAAAA AAAAAAAAAA",
        "AAAAAAAAAAAAAAAAAAAAAA, theme",
        "%41AAAAAAAAAAAAAAAAAAAAA",
        "374708fff7719dd5979ec875d56cd228",
        "../../../../etc/passwd",
    ] {
        let junk = format!("session={value}");
        assert_eq!(without_tls().present([&junk]), Presented::Malformed, "{junk}");
        // It does not affect the id that is there as well, wherever it stands.
        for headers in [format!("{junk}; session={ID}"), format!("session={ID}; {junk}")] {
            assert_eq!(read(&[&headers]).as_deref(), Some(ID), "{headers}");
        }
    }
    for nothing in ["", "session", "sessions=", "=", "theme=session=AAAAAAAAAAAAAAAAAAAAAA"] {
        assert_eq!(without_tls().present([nothing]), Presented::Nothing, "{nothing}");
    }
    assert_eq!(without_tls().present::<[&str; 0]>([]), Presented::Nothing);
}

#[test]
fn different_ids_under_one_name_are_no_id_in_any_order() {
    // A planted cookie of a sibling host comes first with a longer path, and last with a later
    // creation.
    let (own, planted) = (format!("session={ID}"), format!("session={OTHER}"));
    for headers in [
        vec![format!("{own}; {planted}")],
        vec![format!("{planted}; {own}")],
        vec![own.clone(), planted.clone()],
        vec![format!("{planted}; theme=dark"), own.clone()],
        vec![format!("{own}; {planted}; {own}")],
        vec![format!("{own}; session=junk; {planted}; {planted}")],
        vec![format!("session=\"{ID}\"; {planted}")],
    ] {
        assert_eq!(without_tls().read(&headers), None, "{headers:?}");
        assert_eq!(without_tls().present(&headers), Presented::Several, "{headers:?}");
    }
}

#[test]
fn a_name_that_is_only_alike_is_another_cookie() {
    let cookie = SessionCookie::default();
    // A browser that mistakes one name for another lets every host of the domain set it. Django and
    // others trim Unicode white space, and PHP decoded percent signs (CVE-2020-7070).
    let mut alike: Vec<Vec<u8>> = Vec::new();
    for character in ('\u{0}'..='\u{3000}').filter(|c| c.is_whitespace() || c.is_control()) {
        if !matches!(character, ' ' | '\t') {
            alike.push(format!("{character}__Host-session").into());
            alike.push(format!("__Host-session{character}").into());
        }
    }
    alike.extend([0x85, 0xa0].map(|byte| [&[byte], &b"__Host-session"[..]].concat()));
    for name in [
        "__host-session",
        "__HOST-SESSION",
        "__Host-Session",
        "__Host%2Dsession",
        "%5F%5FHost-session",
        "\"__Host-session\"",
        "$__Host-session",
        "x__Host-session",
        "__Host-session2",
        "__Host-session ",
        "__Host-session[]",
        "__Host-",
        "session",
        "",
        "\u{feff}__Host-session",
        "\u{200b}__Host-session",
        "__Host\u{2010}session",
    ] {
        alike.push(name.into());
    }
    for name in alike {
        let header = [&name[..], b"=", ID.as_bytes()].concat();
        let shown = String::from_utf8_lossy(&header);
        assert_eq!(cookie.present([&header]), Presented::Nothing, "{shown:?}");
        let beside = [&header[..], b"; __Host-session=", OTHER.as_bytes()].concat();
        assert_eq!(cookie.read([beside]).unwrap().encode(), OTHER, "{shown:?}");
    }
    // A nameless cookie whose value looks like a cookie: browsers send its value alone.
    assert_eq!(cookie.present(["=__Host-session=AAAAAAAAAAAAAAAAAAAAAA"]), Presented::Nothing);
}

#[test]
fn what_another_cookie_holds_is_not_read() {
    // A page's script, or a form that sets a preference, may choose such a value.
    for header in [
        "theme=session=AAAAAAAAAAAAAAAAAAAAAA",
        "theme=x,session=AAAAAAAAAAAAAAAAAAAAAA",
        "theme=x, session=AAAAAAAAAAAAAAAAAAAAAA",
        "theme=\"x, session=AAAAAAAAAAAAAAAAAAAAAA\"",
        "theme=x&session=AAAAAAAAAAAAAAAAAAAAAA",
        "theme=x session=AAAAAAAAAAAAAAAAAAAAAA",
        "theme=x%3Bsession=AAAAAAAAAAAAAAAAAAAAAA",
        "theme=x\nsession=AAAAAAAAAAAAAAAAAAAAAA",
        "theme=x\0session=AAAAAAAAAAAAAAAAAAAAAA",
        "$Version=1, session=AAAAAAAAAAAAAAAAAAAAAA; $Path=/",
    ] {
        assert_eq!(read(&[header]), None, "{header:?}");
    }
    // And none hides the id: an unclosed quote swallows no semicolon ("cookie sandwich").
    for header in [
        "$Version=1; theme=\"x; session=AAAAAAAAAAAAAAAAAAAAAA; lang=y\"",
        "\"; session=AAAAAAAAAAAAAAAAAAAAAA",
        "theme=\\\"; session=AAAAAAAAAAAAAAAAAAAAAA",
    ] {
        assert_eq!(read(&[header]).as_deref(), Some(ID), "{header:?}");
    }
}

#[test]
fn bytes_that_are_not_text_are_no_id_and_hide_none() {
    let cookie = without_tls();
    for byte in 0..=u8::MAX {
        for place in 0..ID.len() {
            let mut value = ID.as_bytes().to_vec();
            value[place] = byte;
            let header = [b"session=", &value[..]].concat();
            // Another byte of the alphabet makes another id, which is read as such.
            let read = cookie.read([&header]).map(|id| id.encode().into_bytes());
            assert!(read.is_none_or(|read| read == value), "{byte} at {place}");
        }
        let header = [b"a=", &[byte; 40][..], b"; session=", ID.as_bytes()].concat();
        assert_eq!(cookie.read([&header]).unwrap().encode(), ID, "{byte}");
    }
    let high = [b"session=", &[0xff; 22][..]].concat();
    assert_eq!(cookie.present([high]), Presented::Malformed);
}

#[test]
fn headers_of_any_size_are_read() {
    let pair = format!("session={ID}");
    let long = format!("{}; {pair}", "x".repeat(4 << 20));
    let many = format!("{}{pair}", "session=junk; ".repeat(100_000));
    let oversized = format!("session={}; {pair}", "A".repeat(4 << 20));
    for header in [long, many, oversized] {
        assert_eq!(read(&[&header]).as_deref(), Some(ID));
    }
    let headers = vec!["theme=dark"; 100_000];
    assert_eq!(read(&headers), None);
}

#[test]
fn headers_are_taken_as_every_framework_has_them() {
    let cookie = without_tls();
    let found = |id: Option<SessionId>| assert_eq!(id.unwrap().encode(), ID);
    let pair = format!("session={ID}");
    // axum, hyper, actix-web
    let mut map = http::HeaderMap::new();
    map.append("cookie", "theme=dark".parse().unwrap());
    map.append("cookie", pair.parse().unwrap());
    found(cookie.read(map.get_all("cookie")));
    found(cookie.read(map.get("cookie").into_iter().chain(map.get_all("cookie"))));
    // rouille
    found(cookie.read(Some(pair.as_str())));
    // tiny_http and others: a list of names and values
    let list = [("Host".to_owned(), "here".to_owned()), ("Cookie".to_owned(), pair.clone())];
    let named = list.iter().filter(|(name, _)| name.eq_ignore_ascii_case("cookie"));
    found(cookie.read(named.map(|(_, value)| value)));
    // bytes
    found(cookie.read([pair.as_bytes()]));
    found(cookie.read(vec![pair.clone().into_bytes()]));
    let list = vec![pair];
    found(cookie.read(&list));
}

#[test]
fn what_is_set_goes_into_a_header_of_every_framework() {
    let (store, cookie) = (store(), SessionCookie::default());
    let session = store.create(1).unwrap();
    for text in [cookie.set(&session), cookie.set_id(session.id()), cookie.clear()] {
        let value = http::HeaderValue::try_from(text.clone()).unwrap();
        assert_eq!(value.to_str().unwrap(), text);
    }
}

#[test]
fn a_cookie_of_the_crate_cookie_goes_both_ways() {
    let (store, cookie) = (store(), without_tls());
    let session = store.create(1).unwrap();
    let made = cookie.to_cookie(&session);
    assert_eq!(made.to_string(), cookie.set(&session));
    assert_eq!(cookie.to_removal().to_string(), cookie.clear());
    assert_eq!(cookie.read_cookie(&made).as_ref(), Some(session.id()));
    assert_eq!(cookie.read_cookie(&cookie.to_removal()), None);
    assert_eq!(SessionCookie::default().read_cookie(&made), None, "another name");

    // Through a signed jar, which protects its cookies from changes.
    let key = cookie::Key::generate();
    let mut jar = cookie::CookieJar::new();
    jar.signed_mut(&key).add(made);
    let signed = jar.get("session").unwrap().clone();
    assert_eq!(cookie.read_cookie(&signed), None, "it is not bare");
    let opened = jar.signed(&key).get("session").unwrap();
    assert_eq!(cookie.read_cookie(&opened).as_ref(), Some(session.id()));
    assert!(jar.signed(&cookie::Key::generate()).get("session").is_none());
    // A removal cookie removes the session cookie from the jar, as from a browser.
    jar.remove(cookie.to_removal());
    assert!(jar.get("session").is_none());
}

#[test]
fn nothing_that_is_printed_of_a_cookie_shows_an_id() {
    let cookie = without_tls();
    let presented = cookie.present([format!("session={ID}")]);
    let builder = SessionCookie::builder();
    let printed = format!("{cookie:?} {cookie:#?} {presented:?} {presented:#?} {builder:?}");
    assert!(!printed.contains(ID), "{printed}");
    assert_eq!(format!("{presented:?}"), "One(SessionId(..))");
}
