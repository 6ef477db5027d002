//! cjson, cmsgpack, struct and bit, beside what Redis 7.0.15 answers.

use crate::command::testing::TestDb;

fn check(cases: &[(&str, &str)]) {
    let mut db = TestDb::new();
    for (body, reply) in cases {
        assert_eq!(db.script(body), *reply, "{body}");
    }
}

#[test]
fn cjson_encodes() {
    check(&[
        ("return cjson.encode({1,2,{a=1.5},cjson.null,true,'x'})", r#"[1,2,{"a":1.5},null,true,"x"]"#),
        ("return cjson.encode({})", "{}"),
        ("return cjson.encode({[1]=1,[2]=2,[4]=4})", "[1,2,null,4]"),
        (
            "return cjson.encode({[1]=1,[100]=2})",
            "ERR user_script:1: Cannot serialise table: excessively sparse array",
        ),
        ("cjson.encode_sparse_array(true) return cjson.encode({[1]=1,[100]=2})", r#"{"1":1,"100":2}"#),
        ("return cjson.encode({[1.5]='x'})", r#"{"1.5":"x"}"#),
        (r#"return cjson.encode('a/b"c\\d\n\t\1\127é')"#, r#""a\/b\"c\\d\n\t\u0001\u007fé""#),
        (
            "return cjson.encode(0.1) .. cjson.encode(1e15) .. cjson.encode(12345678901234567890)",
            "0.11e+151.2345678901235e+19",
        ),
        ("return cjson.encode(1e14) .. cjson.encode(-0.5) .. cjson.encode(100)", "1e+14-0.5100"),
        ("return cjson.encode(0/0)", "ERR user_script:1: Cannot serialise number: must not be NaN or Inf"),
        ("cjson.encode_invalid_numbers('null') return cjson.encode({1/0})", "[null]"),
        (
            "return cjson.encode({f=function() end})",
            "ERR user_script:1: Cannot serialise function: type not supported",
        ),
        ("return cjson.encode()", "ERR user_script:1: bad argument #1 to 'encode' (expected 1 argument)"),
        ("cjson.encode_number_precision(3) return cjson.encode(3.14159)", "3.14"),
        (
            "cjson.encode_max_depth(2) return cjson.encode({{{1}}})",
            "ERR user_script:1: Cannot serialise, excessive nesting (3)",
        ),
    ]);
}

#[test]
fn cjson_decodes() {
    check(&[
        (r#"return cjson.decode('[1,"two",{"a":[3.5,null]}]')[3].a[1] * 2"#, "7"),
        (r#"return cjson.decode('{"a":null}').a == cjson.null"#, "1"),
        (r#"return cjson.decode('"\\u00e9\\ud83d\\ude00\\n"')"#, "é😀\n"),
        ("return cjson.decode(' [ 1 , 2 ] ')[2]", "2"),
        ("return cjson.decode('0x10')", "16"),
        ("return tostring(cjson.decode('1e3'))", "1000"),
        (
            "cjson.decode_invalid_numbers(false) return cjson.decode('012')",
            "ERR user_script:1: Expected value but found invalid number at character 1",
        ),
        (
            "return cjson.decode('[1')",
            "ERR user_script:1: Expected comma or array end but found T_END at character 3",
        ),
        ("return cjson.decode('')", "ERR user_script:1: Expected value but found T_END at character 1"),
        (
            "return cjson.decode('{a:1}')",
            "ERR user_script:1: Expected object key string but found invalid token at character 2",
        ),
        (
            r#"return cjson.decode('{"a" 1}')"#,
            "ERR user_script:1: Expected colon but found T_NUMBER at character 6",
        ),
        (
            "return cjson.decode('[1] x')",
            "ERR user_script:1: Expected the end but found invalid token at character 5",
        ),
        (
            r#"return cjson.decode('"abc')"#,
            "ERR user_script:1: Expected value but found unexpected end of string at character 5",
        ),
        (
            r#"return cjson.decode('"\\x"')"#,
            "ERR user_script:1: Expected value but found invalid escape code at character 2",
        ),
        (
            "cjson.decode_max_depth(2) return cjson.decode('[[[1]]]')",
            "ERR user_script:1: Found too many nested data structures (3) at character 3",
        ),
        (
            "return cjson.decode('tru')",
            "ERR user_script:1: Expected value but found invalid token at character 1",
        ),
    ]);
}

#[test]
fn cmsgpack_packs_and_unpacks() {
    let hex =
        "local function hex(s) return (s:gsub('.', function(c) return ('%02x'):format(c:byte()) end)) end ";
    let cases = [
        (
            "return hex(cmsgpack.pack(1, -1, 127, 128, 255, 256, 65536, -33, -129, 2^32, -2^40))",
            "01ff7fcc80ccffcd0100ce00010000d0dfd1ff7fcf0000000100000000d3ffffff0000000000",
        ),
        (
            "return hex(cmsgpack.pack(1.5, 0.1, true, false, nil, 'abc'))",
            "ca3fc00000cb3fb999999999999ac3c2c0a3616263",
        ),
        (
            "return hex(cmsgpack.pack({1,2,3}) .. cmsgpack.pack({a=1}) .. cmsgpack.pack({}))",
            "9301020381a1610190",
        ),
        ("return hex(cmsgpack.pack(('x'):rep(40))):sub(1, 6)", "d92878"),
        ("return #cmsgpack.pack(('x'):rep(70000))", "70005"),
        (
            "local t = {} for i = 1, 20 do t = {t} end return hex(cmsgpack.pack(t))",
            "91919191919191919191919191919191c0",
        ),
    ];
    let mut db = TestDb::new();
    for (body, reply) in cases {
        assert_eq!(db.script(&format!("{hex}{body}")), reply, "{body}");
    }
    check(&[
        (
            "local t = cmsgpack.unpack(cmsgpack.pack({a={1,2,{b='c'}},d=false})) return {t.a[3].b, tostring(t.d)}",
            "[c false]",
        ),
        ("return {cmsgpack.unpack(cmsgpack.pack(1, 'two', 3))}", "[1 two 3]"),
        ("return {cmsgpack.unpack_one(cmsgpack.pack(1, 2))}", "[1 1]"),
        ("return {cmsgpack.unpack_limit(cmsgpack.pack(1, 2, 3), 2, 1)}", "[-1 2 3]"),
        ("return cmsgpack.unpack('\\147\\1')", "ERR user_script:1: Missing bytes in input."),
        ("return cmsgpack.unpack('\\193')", "ERR user_script:1: Bad data format in input."),
        (
            "for _, v in ipairs({0, -32, -128, 2^31, -2^31, 2^53, 1e300, 0.1}) do if cmsgpack.unpack(cmsgpack.pack(v)) ~= v then return v end end return 'same'",
            "same",
        ),
    ]);
}

#[test]
fn struct_packs_and_unpacks() {
    check(&[
        ("return {struct.unpack('>I2 <i4 b', struct.pack('>I2 <i4 b', 258, -2, -1))}", "[258 -2 -1 8]"),
        ("return struct.pack('>h', 258)", "\u{1}\u{2}"),
        ("return struct.size('!4 b i4 d')", "16"),
        ("return {struct.unpack('s s', struct.pack('s s', 'ab', 'c'))}", "[ab c 6]"),
        ("return struct.pack('c3', 'abcdef')", "abc"),
        ("return {struct.unpack('>I1 c0', struct.pack('>I1 c0', 3, 'xyz'))}", "[xyz 5]"),
        ("return select(1, struct.unpack('<d', struct.pack('<d', 1.5))) * 2", "3"),
        ("return select(1, struct.unpack('>f', struct.pack('>f', 0.25))) * 4", "1"),
        (
            "return struct.unpack('I4', 'abc')",
            "ERR user_script:1: bad argument #2 to 'unpack' (data string too short)",
        ),
        (
            "return struct.pack('q', 1)",
            "ERR user_script:1: bad argument #1 to 'pack' (invalid format option 'q')",
        ),
        ("return struct.pack('i33', 1)", "ERR user_script:1: integral size 33 is larger than limit of 32"),
        (
            "return struct.pack('c4', 'abc')",
            "ERR user_script:1: bad argument #3 to 'pack' (string too short)",
        ),
        ("return struct.unpack('s', 'abc')", "ERR user_script:1: unfinished string in data"),
    ]);
}

#[test]
fn bit_works_on_32_bits() {
    check(&[
        ("return {bit.band(0xff, 0x0f), bit.bor(1, 2, 4), bit.bxor(5, 3), bit.bnot(0)}", "[15 7 6 -1]"),
        (
            "return {bit.lshift(1, 31), bit.rshift(-1, 28), bit.arshift(-256, 4), bit.lshift(1, 33)}",
            "[-2147483648 15 -16 2]",
        ),
        (
            "return {bit.tobit(0xffffffff), bit.tobit(2^32 + 1), bit.rol(0x12345678, 8), bit.bswap(1)}",
            "[-1 1 878082066 16777216]",
        ),
        ("return bit.tohex(255) .. bit.tohex(-1, 4) .. bit.tohex(0xabcdef, -6)", "000000ffffffABCDEF"),
    ]);
}
