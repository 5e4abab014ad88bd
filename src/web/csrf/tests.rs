//! Form tokens: for which id, for how long, and which texts are not tokens.

use super::*;
use crate::error::Source;
use crate::testing::ManualClock;

const HOUR: Duration = Duration::from_secs(60 * 60);
const MS: Duration = Duration::from_millis(1);

struct Setup {
    clock: ManualClock,
    csrf: StatelessCsrf,
    id: SessionId,
}

impl Setup {
    fn new() -> Self {
        let clock = ManualClock::new();
        let csrf = StatelessCsrf::new(CsrfKey::generate().unwrap()).clock(clock.clone());
        Self { clock, csrf, id: SessionId::generate().unwrap() }
    }

    fn token(&self) -> String {
        self.csrf.token(&self.id).unwrap()
    }
}

#[test]
fn a_token_fits_its_id_and_key_and_no_other() {
    let setup = Setup::new();
    let token = setup.token();
    assert_eq!(token.len(), StatelessCsrf::TOKEN_LEN);
    assert!(setup.csrf.verify(&setup.id, &token));
    assert!(setup.csrf.verify(&setup.id, &token), "as often as it is sent");

    let other_id = SessionId::generate().unwrap();
    assert!(!setup.csrf.verify(&other_id, &token));
    let other_key = Setup { clock: setup.clock.clone(), ..Setup::new() };
    assert!(!other_key.csrf.verify(&setup.id, &token));
}

#[test]
fn the_same_secret_makes_the_same_tokens_after_a_restart() {
    let setup = Setup::new();
    let with = |secret: &[u8]| {
        StatelessCsrf::new(CsrfKey::from_secret(secret).unwrap()).clock(setup.clock.clone())
    };
    let token = with(&[7; 32]).token(&setup.id).unwrap();
    assert!(with(&[7; 32]).verify(&setup.id, &token));
    assert!(!with(&[8; 32]).verify(&setup.id, &token));
    assert!(!with(&[7; 33]).verify(&setup.id, &token));
    // Longer than a block: HMAC digests the key first.
    let token = with(&[7; 200]).token(&setup.id).unwrap();
    assert!(with(&[7; 200]).verify(&setup.id, &token));
    assert!(!with(&[7; 201]).verify(&setup.id, &token));
}

#[test]
fn a_token_is_the_hmac_of_label_time_and_key() {
    let setup = Setup::new();
    // Windows represents no time after the year 30828.
    setup.clock.set_millis(0x0304_0506_0708);
    let id = SessionId::parse("AAAAAAAAAAAAAAAAAAAAAA").unwrap();
    // Computed with Python's hmac and hashlib.
    for (len, mac) in [
        (32, "af503e5a37e2cd80f1602c3a8d39ac65527388e489bdae893129f41cfcfc8b31"),
        (64, "7867bf9ad8eb6bc0c1899d0e5c9e26c8f7bd6fbea97917fe2f217ca91e149a35"),
        (65, "1bf8355c31847d84436525713f0096f3cb43dad229a4385f61171e481d5dd5e3"),
    ] {
        let key = CsrfKey::from_secret(&vec![7; len]).unwrap();
        let csrf = StatelessCsrf::new(key).clock(setup.clock.clone());
        let token = URL_SAFE_NO_PAD.decode(csrf.token(&id).unwrap()).unwrap();
        assert_eq!(&token[..8], &[0, 0, 3, 4, 5, 6, 7, 8]);
        let found: String = token[8..].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, mac, "a secret of {len} bytes");
    }
}

#[test]
fn a_token_is_refused_from_the_moment_that_it_is_too_old() {
    for (max_age, default) in [(HOUR, true), (Duration::from_secs(90), false)] {
        let Setup { clock, csrf, id } = Setup::new();
        let csrf = if default { csrf } else { csrf.max_age(max_age) };
        let token = csrf.token(&id).unwrap();
        clock.advance(max_age - MS);
        assert!(csrf.verify(&id, &token));
        clock.advance(MS);
        assert!(!csrf.verify(&id, &token));
        assert!(csrf.verify(&id, &csrf.token(&id).unwrap()), "a new one is as good as ever");
    }
    let Setup { clock, csrf, id } = Setup::new();
    let token = csrf.token(&id).unwrap();
    clock.advance(1_000_000 * HOUR);
    assert!(csrf.clone().max_age(Duration::MAX).verify(&id, &token));
    assert!(!csrf.max_age(Duration::ZERO).verify(&id, &token));
}

#[test]
fn a_token_of_a_fast_host_is_accepted_and_one_from_the_future_is_refused() {
    let setup = Setup::new();
    let token = setup.token();
    setup.clock.go_back(Duration::from_millis(SKEW_MS));
    assert!(setup.csrf.verify(&setup.id, &token));
    setup.clock.go_back(MS);
    assert!(!setup.csrf.verify(&setup.id, &token));
}

#[test]
fn a_token_with_any_bit_changed_is_none() {
    let setup = Setup::new();
    let token = URL_SAFE_NO_PAD.decode(setup.token()).unwrap();
    for bit in 0..token.len() * 8 {
        let mut changed = token.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(!setup.csrf.verify(&setup.id, &URL_SAFE_NO_PAD.encode(changed)), "bit {bit}");
    }
}

#[test]
fn a_malformed_text_is_no_token() {
    let setup = Setup::new();
    let token = setup.token();
    let (start, last) = token.split_at(53);
    // 54 characters hold 324 bits, so the last character carries two bits of the token.
    let spellings = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let fits = |c: &char| setup.csrf.verify(&setup.id, &format!("{start}{c}"));
    assert_eq!(spellings.chars().filter(fits).collect::<String>(), last, "it has one spelling");
    for text in [
        String::new(),
        start.into(),
        format!("{token}A"),
        format!("{token}=="),
        format!(" {token}"),
        format!("{start}="),
        format!("{start}+"),
        format!("{}\u{e4}", &token[..52]),
        "A".repeat(54),
        "A".repeat(1 << 20),
        setup.id.encode(),
    ] {
        assert!(!setup.csrf.verify(&setup.id, &text), "{text:.80}");
    }
}

#[test]
fn tokens_differ_from_one_view_of_the_form_to_the_next() {
    // The lengths of compressed answers could reveal a text that repeats in every answer (BREACH).
    let setup = Setup::new();
    let first = setup.token();
    assert_eq!(setup.token(), first, "within a millisecond");
    setup.clock.advance(MS);
    let second = setup.token();
    let same = first.bytes().zip(second.bytes()).skip(11).filter(|(a, b)| a == b).count();
    assert!(same < 12, "{same} of 43 characters");
    assert!(setup.csrf.verify(&setup.id, &first) && setup.csrf.verify(&setup.id, &second));
}

#[test]
fn a_short_secret_is_refused_and_not_repeated() {
    for len in [0, 1, 31] {
        let error = CsrfKey::from_secret(&vec![0x5a; len]).unwrap_err();
        assert!(matches!(error, Error::InvalidSetting { name: "secret", .. }));
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(&format!("has {len} bytes and needs at least 32")), "{shown}");
        assert!(!shown.contains("ZZ") && !shown.contains("90, 90"), "{shown}");
    }
    assert!(CsrfKey::from_secret(&[0x5a; 32]).is_ok());
}

#[derive(Debug)]
struct NoEntropy;

impl RandomSource for NoEntropy {
    fn fill(&self, _: &mut [u8]) -> std::result::Result<(), Source> {
        Err(Arc::new(std::io::Error::other("no entropy")))
    }
}

#[test]
fn without_random_bytes_no_key_is_made() {
    assert!(matches!(CsrfKey::draw_from(&NoEntropy), Err(Error::Generator { .. })));
}

#[test]
fn before_1970_no_token_is_made_and_none_is_accepted() {
    #[derive(Debug)]
    struct Before1970;
    impl Clock for Before1970 {
        fn now(&self) -> std::time::SystemTime {
            std::time::UNIX_EPOCH - MS
        }
    }
    let setup = Setup::new();
    let token = setup.token();
    let csrf = setup.csrf.clone().clock(Before1970);
    assert!(matches!(csrf.token(&setup.id), Err(Error::ClockOutOfRange)));
    assert!(!csrf.verify(&setup.id, &token));
}

#[test]
fn nothing_that_is_printed_shows_a_key() {
    let csrf = StatelessCsrf::new(CsrfKey::from_secret(&[0x5a; 32]).unwrap());
    let printed = format!("{csrf:?} {csrf:#?}");
    assert!(printed.contains("CsrfKey(..)"), "{printed}");
    assert!(!printed.contains("90, 90") && !printed.to_lowercase().contains("5a5a"), "{printed}");
}

#[test]
fn a_key_is_overwritten_when_it_is_dropped() {
    const fn is_overwritten<T: zeroize::ZeroizeOnDrop>(_: &T) {}
    is_overwritten(&CsrfKey::generate().unwrap().0);
}
