//! Every setting, and every pair of settings, that `build` refuses, each with its own reason.

use std::collections::HashSet;

use sessile::Error;
use sessile::web::cookie::{SameSite, SessionCookie, SessionCookieBuilder};

fn builder() -> SessionCookieBuilder {
    SessionCookie::builder()
}

/// The refused setting, and the whole message.
fn refusal(builder: SessionCookieBuilder) -> (&'static str, String) {
    match builder.clone().build() {
        Err(error @ Error::InvalidSetting { name, .. }) => (name, error.to_string()),
        other => panic!("{builder:?}: {other:?}"),
    }
}

fn plain(name: &str) -> SessionCookieBuilder {
    builder().name(name)
}

#[test]
fn each_refused_combination_has_an_error_of_its_own() {
    let long = |len| "x".repeat(len);
    let refused = [
        // 4.1.3.2 and 5.7
        (builder().domain("example.com"), "domain", "named `__Host-…` with it"),
        (builder().path("/app"), "path", "named `__Host-…` with another one"),
        (plain("__Host-a").secure(false), "secure", "named `__Host-…` without it"),
        (plain("__Host-Http-a").domain("example.com"), "domain", "named `__Host-Http-…` with it"),
        (plain("__Host-Http-a").path("/app"), "path", "named `__Host-Http-…` with another one"),
        (plain("__Host-Http-a").secure(false), "secure", "named `__Host-Http-…` without it"),
        (plain("__Host-Http-a").http_only(false), "http_only", "named `__Host-Http-…` without it"),
        // 4.1.3.1
        (plain("__Secure-a").secure(false), "secure", "named `__Secure-…` without it"),
        (plain("__Http-a").secure(false), "secure", "named `__Http-…` without it"),
        (plain("__Http-a").http_only(false), "http_only", "named `__Http-…` without it"),
        // 5.4
        (plain("__host-a"), "name", "write `__Host-`"),
        (plain("__SECURE-a"), "name", "write `__Secure-`"),
        (plain("__http-a"), "name", "write `__Http-`"),
        (plain("__Host-http-a"), "name", "write `__Host-Http-`"),
        // 5.7, CHIPS
        (builder().secure(false).same_site(SameSite::None), "same_site", "without `secure`"),
        (builder().secure(false).partitioned(true), "partitioned", "without `secure`"),
        // 4.1.1, 5.6, 5.8.3
        (plain(""), "name", "is empty"),
        (plain("a b"), "name", "has ' ' in it"),
        (plain("a=b"), "name", "has '=' in it"),
        (plain("a;b"), "name", "has ';' in it"),
        (plain("a\r\nSet-Cookie: b"), "name", "has '\\r' in it"),
        (plain("ä"), "name", "has 'ä' in it"),
        (plain(&long(4075)), "name", "use 4074 at most"),
        // 5.6.4, 5.1.4
        (plain("a").path(""), "path", "does not begin with `/`"),
        (plain("a").path("/a;b"), "path", "has ';' in it"),
        (plain("a").path("/a b"), "path", "has ' ' in it"),
        (plain("a").path("/a\nb"), "path", "has '\\n' in it"),
        (plain("a").path("/?a"), "path", "has '?' in it"),
        (plain("a").path("/#a"), "path", "has '#' in it"),
        (plain("a").path("/ä"), "path", "has 'ä' in it"),
        (plain("a").path("/a/../b"), "path", "has `.` or `..`"),
        (plain("a").path(format!("/{}", long(1024))), "path", "has 1025 bytes"),
        // 5.1.3, 5.6.3, 5.7
        (plain("a").domain(""), "domain", "is empty"),
        (plain("a").domain("com"), "domain", "has no dot in it"),
        (plain("a").domain("127.0.0.1"), "domain", "is an IP address"),
        (plain("a").domain("bücher.example"), "domain", "write it as `xn--…`"),
        (plain("a").domain("example.com."), "domain", "is no host name"),
        (plain("a").domain("example.com:80"), "domain", "has ':' in it"),
        (plain("a").domain("a.com; Secure"), "domain", "has ';' in it"),
        (plain("a").domain("https://a.com/"), "domain", "has ':' in it"),
    ];
    let mut messages = HashSet::new();
    for (builder, setting, reason) in refused {
        let (found, message) = refusal(builder);
        assert_eq!(found, setting, "{message}");
        assert!(message.starts_with(&format!("the setting `{setting}` ")), "{message}");
        assert!(message.contains(reason), "{message}");
        messages.insert(message);
    }
    // Only one of the 40 messages occurs twice: a colon in a domain, for a port and for a scheme.
    assert_eq!(messages.len(), 39);
}

#[test]
fn what_is_like_a_refused_setting_is_refused_as_well() {
    for name in
        ["\u{0}", "a\tb", "a\u{7f}", "a,b", "\"a\"", "a/b", "(a)", "a@b", "\u{2000}a", "a:b"]
    {
        assert_eq!(refusal(plain(name)).0, "name", "{name:?}");
    }
    for path in ["app", "a/b", " /", "./", "\\", "*"] {
        assert!(refusal(plain("a").path(path)).1.contains("does not begin with `/`"), "{path:?}");
    }
    for path in ["/.", "/..", "/a/.", "/%2e", "/%2E%2e/", "/.%2e/a", "/a/./b"] {
        assert!(refusal(plain("a").path(path)).1.contains("`.` or `..`"), "{path:?}");
    }
    for path in ["/ ", "/\t", "/\u{0}", "/\u{7f}", "/\"", "/<", "/{", "/^", "/`", "/\\"] {
        assert_eq!(refusal(plain("a").path(path)).0, "path", "{path:?}");
    }
    for domain in
        [".", "..", "..example.com", "a..b", "-", "localhost", "[::1]", "a b.com", "*.a.com"]
    {
        assert_eq!(refusal(plain("a").domain(domain)).0, "domain", "{domain:?}");
    }
    for address in ["10.0.0.1", "1.1", "0x7f.0x1", "a.1", "a.0x"] {
        assert!(refusal(plain("a").domain(address)).1.contains("IP address"), "{address:?}");
    }
    let label = "x".repeat(63);
    for domain in [format!("{label}x.com"), format!("{}com", format!("{label}.").repeat(4))] {
        assert!(refusal(plain("a").domain(&domain)).1.contains("no host name"), "{domain}");
    }
}

#[test]
fn what_is_at_the_limit_is_built() {
    let label = "x".repeat(63);
    let longest = [&label[..], &label, &label, &label[..61]].join(".");
    assert_eq!(longest.len(), 253);
    for builder in [
        plain(&"x".repeat(4074)),
        plain("!#$%&'*+-.^_`|~09azAZ"),
        plain("a").path(format!("/{}", "x".repeat(1023))),
        plain("a").path("/-._~!$&'()*+,=:@%20[]|/"),
        plain("a").path("/..."),
        plain("a").path("/a..b/.c"),
        plain("a").domain(longest),
        plain("a").domain(".Shop.Example.COM"),
        plain("a").domain("xn--bcher-kva.example"),
        plain("a").domain("a_b.1.c2"),
        plain("__Hostile"),
        plain("__Host"),
        plain("__Host-Http-a"),
        builder().same_site(SameSite::None).partitioned(true),
        builder().partitioned(true),
        builder().http_only(false),
        builder().secure(false).same_site(SameSite::Strict),
    ] {
        assert!(builder.clone().build().is_ok(), "{builder:?}");
    }
}

#[test]
fn the_name_follows_tls_unless_it_is_given() {
    let name = |builder: SessionCookieBuilder| builder.build().unwrap().name().to_owned();
    assert_eq!(name(builder()), "__Host-session");
    assert_eq!(name(builder().secure(true)), "__Host-session");
    assert_eq!(name(builder().secure(false)), "session");
    assert_eq!(name(builder().secure(false).secure(true)), "__Host-session");
    assert_eq!(name(plain("mine")), "mine");
    assert_eq!(name(plain("mine").secure(false)), "mine");
    assert_eq!(SessionCookie::default().name(), "__Host-session");
    assert_eq!(SessionCookie::default().clear(), builder().build().unwrap().clear());
}

#[test]
fn what_was_set_is_what_is_written() {
    let cookie = plain("__Secure-shop")
        .http_only(false)
        .same_site(SameSite::None)
        .path("/app/")
        .domain(".Example.com")
        .partitioned(true)
        .build()
        .unwrap();
    let expected = "__Secure-shop=; SameSite=None; Partitioned; Secure; Path=/app/; \
                    Domain=example.com; Max-Age=0";
    assert_eq!(cookie.clear(), expected);
    let cookie = builder().secure(false).same_site(SameSite::Strict).build().unwrap();
    assert_eq!(cookie.clear(), "session=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0");
    for (ours, theirs) in [
        (SameSite::Strict, cookie::SameSite::Strict),
        (SameSite::Lax, cookie::SameSite::Lax),
        (SameSite::None, cookie::SameSite::None),
    ] {
        assert_eq!((cookie::SameSite::from(ours), SameSite::from(theirs)), (theirs, ours));
    }
}
