//! Random programs, from a seed.
//!
//! They lean towards what is hard: stopping and restarting, cancelling, and several things in the same turn.

use serde_json::{Map, Value, json};

/// What this Python can be asked.
#[derive(Clone, Copy)]
pub(crate) struct Dialect {
    /// `uncancel` that withdraws a request: since 3.13.
    pub(crate) uncancel: bool,
    /// `gather` that looks at finished children at once: since 3.12.
    pub(crate) gather: bool,
}

/// Numbers that look random (SplitMix64).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len() as u64) as usize]
    }
}

/// Who may do an operation.
#[derive(Clone, Copy, PartialEq)]
enum Who {
    Script,
    Callback,
    Body,
}

struct Generator {
    dice: Dice,
    dialect: Dialect,
    /// How many names of each kind this program has.
    names: u64,
    keys: u64,
}

/// The program with this seed.
pub(crate) fn program(seed: u64, dialect: Dialect) -> Value {
    let mut dice = Dice::new(seed);
    let names = 1 + dice.below(4);
    // Some are long.
    let longest = if dice.chance(15) { 9 } else { 4 };
    let mut generator = Generator { dice, dialect, names, keys: 0 };
    let mut callbacks = Map::new();
    let mut bodies = Map::new();
    for n in 0..=names {
        callbacks.insert(format!("c{n}"), generator.ops(Who::Callback, longest, 0));
        bodies.insert(format!("b{n}"), generator.ops(Who::Body, longest + 1, 0));
    }
    let script = generator.script();
    let mut program = json!({ "callbacks": callbacks, "bodies": bodies, "script": script });
    if generator.dice.chance(5) {
        program["handler"] = json!(generator.dice.pick(&["KI", "EXIT:4"]));
    }
    program
}

impl Generator {
    fn name(&mut self, kind: char) -> String {
        format!("{kind}{}", self.dice.below(self.names + 1))
    }

    /// A task or a future, or the current task.
    fn awaited(&mut self) -> String {
        match self.dice.below(20) {
            0 | 1 => "self".to_owned(),
            2..=13 => self.name('t'),
            14 => "o0".to_owned(),
            _ => self.name('f'),
        }
    }

    fn message(&mut self) -> Value {
        match self.dice.below(3) {
            0 => Value::Null,
            n => json!(format!("m{n}")),
        }
    }

    fn error(&mut self) -> String {
        match self.dice.below(20) {
            0 => "KI".to_owned(),
            1 => "EXIT:3".to_owned(),
            2 => "CANCEL".to_owned(),
            3 => "CANCEL:own".to_owned(),
            n => format!("E:e{n}"),
        }
    }

    fn delay(&mut self) -> u64 {
        match self.dice.below(40) {
            0..=7 => 0,
            8 => 100_000,
            n => n % 5,
        }
    }

    fn ops(&mut self, who: Who, longest: u64, depth: u32) -> Value {
        let length = self.dice.below(longest + 1);
        Value::Array((0..length).map(|_| self.op(who, depth)).collect())
    }

    fn script(&mut self) -> Value {
        let mut script = Vec::new();
        for n in 0..=self.names {
            script.push(json!(["future", format!("f{n}")]));
            if self.dice.chance(80) {
                let body = self.name('b');
                script.push(json!(["task", format!("t{n}"), body]));
            }
        }
        if self.dice.chance(20) {
            script.push(json!(["future", "o0"]));
        }
        for _ in 0..1 + self.dice.below(5) {
            for _ in 0..self.dice.below(5) {
                script.push(self.op(Who::Script, 0));
            }
            script.push(self.run());
        }
        if self.dice.chance(10) {
            script.push(json!(["close"]));
            for _ in 0..self.dice.below(4) {
                script.push(self.op(Who::Script, 0));
            }
            script.push(self.run());
        }
        Value::Array(script)
    }

    fn run(&mut self) -> Value {
        match self.dice.below(21) / 2 {
            10 => json!(["other"]),
            0..=2 => json!(["forever"]),
            3..=5 => json!(["step"]),
            6 if self.dialect.gather && self.dice.chance(30) => json!(["until", self.name('g')]),
            6 => json!(["until", self.name('f')]),
            7 | 8 => json!(["until", self.name('t')]),
            _ => json!(["until", self.name('b')]),
        }
    }

    fn op(&mut self, who: Who, depth: u32) -> Value {
        if who == Who::Body && self.dice.chance(55) {
            return self.waiting_op(depth);
        }
        match self.dice.below(100) {
            0..=7 => json!(["soon", self.name('h'), self.name('c')]),
            8..=13 => json!(["later", self.name('h'), self.name('c'), self.delay()]),
            14 | 15 => json!(["at", self.name('h'), self.name('c'), self.delay()]),
            16 | 17 => json!(["threadsafe", self.name('c')]),
            18..=20 => json!(["drop", self.name('h')]),
            21 | 22 => json!(["future", self.name('f')]),
            23..=29 => json!(["set", self.name('f'), format!("v{}", self.dice.below(9))]),
            30..=32 => json!(["fail", self.name('f'), self.error()]),
            33..=49 => json!(["cancel", self.awaited(), self.message()]),
            50..=56 => {
                self.keys += 1;
                json!(["add", self.awaited(), self.name('c'), format!("k{}", self.keys)])
            }
            57 | 58 => json!(["remove", self.awaited(), format!("k{}", 1 + self.dice.below(self.keys + 1))]),
            59..=66 => json!(["task", self.name('t'), self.name('b')]),
            67..=69 if self.dialect.uncancel => json!(["uncancel", self.awaited()]),
            70 => json!(["cancelling", self.awaited()]),
            71..=74 => json!(["done", self.awaited()]),
            75 | 76 => json!(["result", self.awaited()]),
            77 | 78 => json!(["error", self.awaited()]),
            79 | 80 => json!(["tasks"]),
            81 => json!(["current"]),
            82 => json!(["running"]),
            99 if self.dialect.gather => match self.dice.below(4) {
                0 => json!(["gather_cancel", self.name('g')]),
                1 => json!(["gather_done", self.name('g')]),
                _ => json!(["gather_new", self.name('g'), self.dice.pick(&["first", "all"]), self.several()]),
            },
            83..=91 => json!(["stop"]),
            92 | 93 if who != Who::Script => self.run(),
            94 if who != Who::Script => json!(["close"]),
            95..=98 if who != Who::Script => json!(["raise", self.error()]),
            _ => json!(["log", "x"]),
        }
    }

    fn waiting_op(&mut self, depth: u32) -> Value {
        match self.dice.below(20) {
            0..=3 => json!(["await", self.awaited()]),
            4..=6 => json!(["sleep", self.delay()]),
            8 | 9 if self.dialect.gather => {
                json!(["gather", self.dice.pick(&["first", "all"]), self.several()])
            }
            10 if self.dialect.gather => {
                let bodies: Vec<_> = (0..self.dice.below(3)).map(|_| self.name('b')).collect();
                json!(["gather_bodies", self.dice.pick(&["first", "all"]), bodies])
            }
            11 | 12 => {
                let timeout = if self.dice.chance(50) { json!(self.delay()) } else { Value::Null };
                json!(["wait", self.dice.pick(&["all", "first", "error"]), timeout, self.several()])
            }
            13..=17 if depth < 2 => {
                let (ops, handler) = (self.ops(Who::Body, 3, depth + 1), self.ops(Who::Body, 2, depth + 1));
                let kind = self.dice.pick(&["cancel", "cancel", "error", "any", "finally"]);
                json!(["try", ops, kind, handler, self.dice.pick(&["swallow", "raise"])])
            }
            7 if self.dialect.gather && self.dice.chance(50) => json!(["gather_await", self.name('g')]),
            7 if self.dialect.gather => {
                json!(["gather_pair", self.dice.pick(&["first", "all"]), self.name('t'), self.name('b')])
            }
            18 if depth < 2 => json!(["repeat", 2, self.ops(Who::Body, 2, depth + 1)]),
            19 => json!(["return", format!("r{}", self.dice.below(9))]),
            _ => json!(["sleep", 0]),
        }
    }

    fn several(&mut self) -> Value {
        let kind = if self.dice.chance(60) { 't' } else { 'f' };
        json!((0..self.dice.below(4)).map(|_| self.name(kind)).collect::<Vec<_>>())
    }
}
