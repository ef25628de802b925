use super::*;

fn hex(text: &str) -> [u8; LENGTH] {
    assert_eq!(text.len(), 2 * LENGTH);
    std::array::from_fn(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
}

fn secret(text: &str) -> Secret {
    Secret::new(hex(text))
}

/// The seed with the bytes 0, 1, 2 and so on.
fn seed() -> Seed {
    Seed::new(secret(
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
    ))
}

/// What `crypto_box_keypair`, and so libzmq, makes of a secret key: the pairs of Alice and Bob in RFC 7748,
/// section 6.1, whose secret keys are not clamped.
#[test]
fn public_halves_are_those_of_rfc_7748() {
    for (secret_half, public) in [
        (
            "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
            "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
        ),
        (
            "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
            "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
        ),
    ] {
        let pair = Pair::of(secret(secret_half));
        assert_eq!(pair.public, hex(public));
        assert_eq!(pair.secret, secret(secret_half));
    }
}

/// Test 1 of RFC 8032, section 7.1.
#[test]
fn an_identity_is_that_of_rfc_8032() {
    let secret_half = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    let identity = SigningPair::of(secret(secret_half));
    assert_eq!(
        identity.public,
        hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    );
}

#[test]
fn derived_pairs_are_pairs() {
    let seed = seed();
    for pair in [
        seed.encryption(),
        seed.managing(),
        seed.first_reading(),
        Pair::derive(seed.secret(), b"some other label"),
    ] {
        assert_eq!(Pair::of(pair.secret.clone()), pair);
    }
}

/// `DeriveKeyPair` itself: `ikmE`, `skEm` and `pkEm` of RFC 9180, appendix A.7.3. RFC 9180 prints secret keys
/// before they are clamped.
#[test]
fn a_pair_without_a_label_is_that_of_rfc_9180() {
    let ikm = secret("43b078912a54b591a7b09b16ce89a1955a9dd60b29fb611e044260046e8b061b");
    let pair = Pair::derive(&ikm, b"");
    let printed = secret("83d3f217071bbf600ba6f081f6e4005d27b97c8001f55cb5ff6ea3bbea1d9295");
    assert_eq!(
        pair.public,
        hex("5ac1671a55c5c3875a8afe74664aa8bc68830be9ded0c5f633cd96400e8b5c05")
    );
    assert_eq!(pair.public, Pair::of(printed).public);
}

/// Machines in use store only seeds, so what derives from a seed may never change. The values were computed
/// independently of this code, from the text of RFC 9180 and HMAC.
#[test]
fn what_derives_from_a_seed_stays() {
    let seed = seed();
    for (pair, secret_half, public) in [
        (
            seed.encryption(),
            "50c71f25f6360a0b09da21cd9ae334482926fbb72ba05b99ec7f1843d9de6261",
            "2ac76397e2a48e7c58846ac4de7a98440ea330f7fe28b224c535615791af211e",
        ),
        (
            seed.managing(),
            "78f2c0b65302dd6b73890e072872d9b689d395cef428b994ba022e6a146a6f47",
            "a7c734025b868cc4f4d6abf7cdfa1d751c88bbb010fc80adb01ae293efbd750e",
        ),
        (
            seed.first_reading(),
            "70a5ef7d6766dfc81e28a43316f16e65dc6d9914099a60f27f57ad075459824f",
            "2679742a01f1507e624fe7caa8049d438630416e2c2a28baedeb3ca57db8e826",
        ),
    ] {
        assert_eq!(pair.secret, secret(secret_half));
        assert_eq!(pair.public, hex(public));
    }
    let identity = seed.identity();
    assert_eq!(
        identity.secret,
        secret("607d29afca319bfc27e315c30d3576c5ef7fc112aabf55563b026d904a043367")
    );
    assert_eq!(
        identity.public,
        hex("ea5105fc4d457964f69bf5c3b3fa707ae6a8fee6c0fd0111e9da9e5e6c867ec1")
    );
    assert_eq!(
        seed.first_psk(),
        secret("a8202053b43ef89b235313a3b1b2e44e144cd201c89b3f2d5c0eed2fc383e17c")
    );
}

#[test]
fn nothing_secret_is_printed() {
    let pair = seed().identity();
    let printed = format!("{:?} {:?}", seed(), pair.secret);
    assert_eq!(printed, "Seed(Secret(…)) Secret(…)");
    let printed = format!("{pair:?}");
    assert!(printed.contains("Secret(…)"));
    assert!(!printed.contains(&format!("{:?}", pair.secret.as_bytes())));
}
