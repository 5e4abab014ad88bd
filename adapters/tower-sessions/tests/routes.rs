//! The route tests of tower-sessions, rewritten for each version: a browser's requests through the
//! middleware, and the cookies that the middleware sets.
//!
//! They are the thirteen tests of `tests/common/mod.rs` in the crate `tower-sessions` 0.15.0; the file
//! is the same in 0.14.0.

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::Response;
use axum::{Router, body};
use time::Duration;
use tower::ServiceExt;
use tower_cookies::Cookie;
use tower_cookies::cookie::SameSite;

const HOUR: Duration = Duration::hours(1);

async fn get(app: &Router, path: &str, cookie: Option<&Cookie<'static>>) -> Response {
    let mut request = Request::builder().uri(path);
    if let Some(cookie) = cookie {
        request = request.header(header::COOKIE, cookie.stripped().encoded().to_string());
    }
    app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

fn cookie_of(headers: &HeaderMap) -> Option<Cookie<'static>> {
    let set = headers.get(header::SET_COOKIE)?.to_str().unwrap();
    Some(Cookie::parse_encoded(set.to_owned()).unwrap())
}

async fn text_of(response: Response) -> String {
    let bytes = body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Whether a cookie's `Max-Age` is this lifetime, less at most a minute that may have passed.
fn is_about(found: Option<Duration>, life: Duration) -> bool {
    found.is_some_and(|found| (life - Duration::minutes(1)..=life).contains(&found))
}

macro_rules! route_tests {
    ($version:ident, $tower:ident) => {
        mod $version {
            use axum::routing;
            use sessile_tower_sessions::SessileStore;
            use time::OffsetDateTime;
            use $tower::{Expiry, Session, SessionManagerLayer};

            use super::*;

            fn routes() -> Router {
                async fn insert(session: Session) {
                    session.insert("foo", 42).await.unwrap();
                }
                async fn value(session: Session) -> String {
                    format!("{:?}", session.get::<u32>("foo").await.unwrap())
                }
                async fn remove(session: Session) {
                    session.remove::<u32>("foo").await.unwrap();
                }
                async fn cycle(session: Session) {
                    session.cycle_id().await.unwrap();
                }
                async fn flush(session: Session) {
                    session.flush().await.unwrap();
                }
                async fn for_a_day(session: Session) {
                    let end = OffsetDateTime::now_utc() + Duration::days(1);
                    session.set_expiry(Some(Expiry::AtDateTime(end)));
                }
                async fn until_the_browser_ends(session: Session) {
                    session.set_expiry(Some(Expiry::OnSessionEnd));
                }
                Router::new()
                    .route("/", routing::get(async |_: Session| "Hello, world!"))
                    .route("/insert", routing::get(insert))
                    .route("/value", routing::get(value))
                    .route("/remove", routing::get(remove))
                    .route("/cycle", routing::get(cycle))
                    .route("/flush", routing::get(flush))
                    .route("/for_a_day", routing::get(for_a_day))
                    .route("/until_the_browser_ends", routing::get(until_the_browser_ends))
            }

            fn app(life: Option<Duration>, domain: Option<&'static str>) -> Router {
                let mut layer = SessionManagerLayer::new(SessileStore::in_memory().unwrap());
                if let Some(life) = life {
                    layer = layer.with_expiry(Expiry::OnInactivity(life));
                }
                if let Some(domain) = domain {
                    layer = layer.with_domain(domain);
                }
                routes().layer(layer)
            }

            /// The app, and the cookie of a session that has a value.
            async fn visited(life: Option<Duration>) -> (Router, Cookie<'static>) {
                visited_at(life, Some("localhost")).await
            }

            async fn visited_at(
                life: Option<Duration>,
                domain: Option<&'static str>,
            ) -> (Router, Cookie<'static>) {
                let app = app(life, domain);
                let response = get(&app, "/insert", None).await;
                let cookie = cookie_of(response.headers()).unwrap();
                (app, cookie)
            }

            #[tokio::test]
            async fn a_session_that_nobody_uses_sets_no_cookie() {
                let response = get(&app(Some(HOUR), None), "/", None).await;
                assert_eq!(response.status(), StatusCode::OK);
                assert!(cookie_of(response.headers()).is_none());
            }

            #[tokio::test]
            async fn an_id_that_nobody_gave_out_becomes_no_session() {
                let planted = Cookie::new("id", "AAAAAAAAAAAAAAAAAAAAAA");
                let response = get(&app(Some(HOUR), None), "/insert", Some(&planted)).await;
                assert_eq!(response.status(), StatusCode::OK);
                let cookie = cookie_of(response.headers()).unwrap();
                assert_ne!(cookie.value(), planted.value());
            }

            #[tokio::test]
            async fn a_cookie_that_is_no_id_is_replaced() {
                let malformed = Cookie::new("id", "malformed");
                let response = get(&app(Some(HOUR), None), "/", Some(&malformed)).await;
                assert_eq!(response.status(), StatusCode::OK);
                let cookie = cookie_of(response.headers()).unwrap();
                assert_ne!(cookie.value(), "malformed");
            }

            #[tokio::test]
            async fn a_new_session_sets_a_careful_cookie() {
                for life in [Some(HOUR), None] {
                    let response = get(&app(life, None), "/insert", None).await;
                    let cookie = cookie_of(response.headers()).unwrap();
                    assert_eq!((cookie.name(), cookie.path()), ("id", Some("/")));
                    assert_eq!((cookie.http_only(), cookie.secure()), (Some(true), Some(true)));
                    assert_eq!(cookie.same_site(), Some(SameSite::Strict));
                    match life {
                        Some(life) => assert!(is_about(cookie.max_age(), life), "{cookie}"),
                        None => assert_eq!(cookie.max_age(), None),
                    }
                }
            }

            #[tokio::test]
            async fn a_value_is_there_at_the_next_request() {
                let (app, cookie) = visited(Some(HOUR)).await;
                assert_eq!(text_of(get(&app, "/value", Some(&cookie)).await).await, "Some(42)");
                assert_eq!(text_of(get(&app, "/value", None).await).await, "None");
            }

            #[tokio::test]
            async fn a_removed_value_is_gone() {
                let (app, cookie) = visited(Some(HOUR)).await;
                get(&app, "/remove", Some(&cookie)).await;
                assert_eq!(text_of(get(&app, "/value", Some(&cookie)).await).await, "None");
            }

            #[tokio::test]
            async fn a_cycled_id_keeps_the_values_and_ends_the_old_id() {
                let (app, first) = visited(Some(HOUR)).await;
                let response = get(&app, "/cycle", Some(&first)).await;
                let second = cookie_of(response.headers()).unwrap();
                assert_ne!(first.value(), second.value());
                assert_eq!(text_of(get(&app, "/value", Some(&second)).await).await, "Some(42)");
                assert_eq!(text_of(get(&app, "/value", Some(&first)).await).await, "None");
            }

            #[tokio::test]
            async fn a_flushed_session_takes_its_cookie_along() {
                for domain in [None, Some("localhost")] {
                    let (app, cookie) = visited_at(Some(HOUR), domain).await;
                    let response = get(&app, "/flush", Some(&cookie)).await;
                    let removal = cookie_of(response.headers()).unwrap();
                    assert_eq!((removal.value(), removal.max_age()), ("", Some(Duration::ZERO)));
                    assert_eq!((removal.path(), removal.domain()), (Some("/"), domain));
                    assert_eq!(text_of(get(&app, "/value", Some(&cookie)).await).await, "None");
                }
            }

            #[tokio::test]
            async fn an_expiry_changes_in_either_direction() {
                let (app, cookie) = visited(Some(HOUR)).await;
                assert!(is_about(cookie.max_age(), HOUR), "{cookie}");
                let response = get(&app, "/for_a_day", Some(&cookie)).await;
                let longer = cookie_of(response.headers()).unwrap();
                assert!(is_about(longer.max_age(), Duration::days(1)), "{longer}");
                let response = get(&app, "/until_the_browser_ends", Some(&longer)).await;
                let shorter = cookie_of(response.headers()).unwrap();
                assert_eq!(shorter.max_age(), None);
                assert_eq!(text_of(get(&app, "/value", Some(&shorter)).await).await, "Some(42)");
            }

            #[tokio::test]
            async fn a_session_of_the_browser_can_be_given_a_life() {
                let (app, cookie) = visited(None).await;
                assert_eq!(cookie.max_age(), None);
                let response = get(&app, "/for_a_day", Some(&cookie)).await;
                let longer = cookie_of(response.headers()).unwrap();
                assert!(is_about(longer.max_age(), Duration::days(1)), "{longer}");
            }
        }
    };
}

route_tests!(v0_14, tower_sessions_0_14);
route_tests!(v0_15, tower_sessions);
