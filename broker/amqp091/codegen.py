#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the AMQP 0-9-1 methods' C code from the specification's XML and from extensions in the same form.

    codegen.py --constants constants.h --header methods.h --source methods.c SPEC.xml [EXTENSIONS.xml...]

What the output offers is described in codec.h. Unknown types, unknown responses and clashing ids stop the build.
"""
import argparse
import re
import sys
import xml.etree.ElementTree as ET

# Decoded or encoded for every message: their code goes into the header, to be inlined into its callers.
HOT_METHODS = {'basic.publish', 'basic.deliver', 'basic.ack'}

# The specification calls one and the same field by two names.
FIELD_NAMES = {'nowait': 'no-wait'}

# Wire type -> C type, reader's and writer's suffix, fixed size (None: carries its own length).
TYPES = {
    'octet': ('uint8_t', '8', 1),
    'short': ('uint16_t', '16', 2),
    'long': ('uint32_t', '32', 4),
    'longlong': ('uint64_t', '64', 8),
    'timestamp': ('uint64_t', '64', 8),
    'shortstr': ('struct amqp091_shortstr', '_shortstr', None),
    'longstr': ('struct amqp091_longstr', '_longstr', None),
    'table': ('struct amqp091_table', '_table', None),
    'bit': ('bool', None, None),
}
LENGTH_SIZE = {'shortstr': 1, 'longstr': 4, 'table': 4}


class Field:
    def __init__(self, element, domains):
        name = element.get('name')
        self.name = FIELD_NAMES.get(name, name)
        self.c = c_name(self.name)
        self.type = domains[element.get('domain') or element.get('type')]
        self.reserved = element.get('reserved') == '1'
        if self.type not in TYPES:
            raise SystemExit('field %s: unknown type %s' % (name, self.type))


class Method:
    def __init__(self, cls, element, domains):
        self.cls = cls
        self.index = int(element.get('index'))
        self.name = '%s.%s' % (cls.name, element.get('name'))
        self.c = c_name(self.name)
        self.id = cls.index << 16 | self.index
        self.enum = 'AMQP091_METHOD_' + self.c.upper()
        self.content = element.get('content') == '1'
        self.synchronous = element.get('synchronous') == '1'
        self.deprecated = element.get('deprecated') == '1'
        sides = {c.get('name') for c in element.findall('chassis')}
        self.to_server = 'server' in sides
        self.to_client = 'client' in sides
        self.responses = ['%s.%s' % (cls.name, r.get('name')) for r in element.findall('response')]
        self.fields = [Field(f, domains) for f in element.findall('field')]
        self.members = [f for f in self.fields if not f.reserved]
        self.has_nowait = any(f.name == 'no-wait' for f in self.members)
        self.hot = self.name in HOT_METHODS

    def groups(self):
        """Fields, with up to 8 adjacent bits as one list: they share an octet, the first in bit 0 (4.2.5.2)."""
        out = []
        for f in self.fields:
            if f.type != 'bit':
                out.append(f)
            elif out and isinstance(out[-1], list) and len(out[-1]) < 8:
                out[-1].append(f)
            else:
                out.append([f])
        return out


class Class:
    def __init__(self, element):
        self.name = element.get('name')
        self.index = int(element.get('index'))
        self.c = c_name(self.name)
        self.methods = []
        self.properties = []


class Spec:
    def __init__(self, paths):
        self.constants, self.domains, self.asserts, self.classes = [], {}, {}, []
        for path in paths:
            self.read(ET.parse(path).getroot())
        self.methods = [m for c in self.classes for m in c.methods]
        self.by_name = {m.name: m for m in self.methods}
        for m in self.methods:
            for r in m.responses:
                if r not in self.by_name:
                    raise SystemExit('%s: its response %s does not exist' % (m.name, r))
        for h in HOT_METHODS - set(self.by_name):
            raise SystemExit('%s is listed as hot and does not exist' % h)

    def read(self, root):
        if (root.get('major'), root.get('minor'), root.get('revision')) != ('0', '9', '1'):
            raise SystemExit('not a specification of AMQP 0-9-1')
        for c in root.findall('constant'):
            self.constants.append((c.get('name'), int(c.get('value')), c.get('class')))
        for d in root.findall('domain'):
            self.domains[d.get('name')] = d.get('type')
            checks = [(a.get('check'), a.get('value')) for a in d.findall('assert')]
            if any(check == 'regexp' for check, _ in checks):
                self.asserts[d.get('name')] = dict(checks)
        for e in root.findall('class'):
            self.read_class(e)

    def read_class(self, element):
        name, index = element.get('name'), int(element.get('index'))
        cls = next((c for c in self.classes if c.name == name), None)
        if cls is None:
            cls = Class(element)
            self.classes.append(cls)
        if cls.index != index or [c.index for c in self.classes].count(index) != 1:
            raise SystemExit('class %s: index %d conflicts' % (name, index))
        cls.properties += [Field(f, self.domains) for f in element.findall('field')]
        if len(cls.properties) > 15 or any(f.type in ('bit', 'longstr') for f in cls.properties):
            raise SystemExit('class %s: its properties need a second flag word, bits or long strings' % name)
        for e in element.findall('method'):
            m = Method(cls, e, self.domains)
            if any(m.id == o.id or m.name == o.name for o in cls.methods):
                raise SystemExit('method %s is defined twice' % m.name)
            cls.methods.append(m)


def c_name(name):
    return re.sub(r'[-.]', '_', name)


# --- one method ---------------------------------------------------------------------------------------------

def method_struct(m):
    if not m.members:
        return []
    return (['struct amqp091_%s {' % m.c]
            + ['\t%s %s;' % (TYPES[f.type][0], f.c) for f in m.members] + ['};', ''])


def signature(m, kind):
    s = 'struct amqp091_%s *' % m.c
    has = bool(m.members)
    return {
        'decode': 'int amqp091_decode_%s(const uint8_t *args, uint32_t len%s)' % (m.c, ', %sout' % s if has else ''),
        'size': 'uint64_t amqp091_size_%s(%s)' % (m.c, 'const %sm' % s if has else 'void'),
        'put': 'uint8_t *amqp091_put_%s(uint8_t *p%s)' % (m.c, ', const %sm' % s if has else ''),
        'encode': 'ssize_t amqp091_encode_%s(uint8_t *dst, uint32_t room%s)' % (m.c, ', const %sm' % s if has else ''),
        'frame': 'ssize_t amqp091_frame_%s(uint8_t *dst, uint32_t room, uint16_t channel%s)'
                 % (m.c, ', const %sm' % s if has else ''),
    }[kind]


def body_decode(m):
    out = ['\tstruct amqp091_reader r;', '', '\tamqp091_reader_init(&r, args, len);']
    for i, g in enumerate(m.groups()):
        if isinstance(g, list):
            if all(f.reserved for f in g):
                out.append('\tamqp091_read8(&r);')
                continue
            out.append('\tuint8_t bits%d = amqp091_read8(&r);' % i)
            out += ['\tout->%s = bits%d & 0x%02x;' % (f.c, i, 1 << n) for n, f in enumerate(g) if not f.reserved]
            continue
        read = 'amqp091_read%s' % TYPES[g.type][1]
        # Methods with content are sent per message: their names are looked up, not created, and stay unchecked.
        if g.type == 'shortstr' and not g.reserved and not m.content:
            read += '_utf8'
        out.append('\t%s%s(&r);' % ('' if g.reserved else 'out->%s = ' % g.c, read))
    return out + ['\treturn amqp091_reader_finish(&r);']


def body_size(m):
    fixed = 4
    terms = []
    for g in m.groups():
        if isinstance(g, list):
            fixed += 1
        elif g.type in LENGTH_SIZE:
            fixed += LENGTH_SIZE[g.type]
            if not g.reserved:
                terms.append('m->%s.len' % g.c)
        else:
            fixed += TYPES[g.type][2]
    return ['\treturn %s;' % ' + '.join(['%dull' % fixed] + terms)]


def body_put(m):
    out = ['\tp = amqp091_put32(p, %s);' % m.enum]
    for g in m.groups():
        if isinstance(g, list):
            bits = ' | '.join('m->%s << %d' % (f.c, n) for n, f in enumerate(g) if not f.reserved)
            out.append('\tp = amqp091_put8(p, %s);' % ('(uint8_t)(%s)' % bits if bits else '0'))
        elif g.reserved:
            size = LENGTH_SIZE.get(g.type) or TYPES[g.type][2]
            out.append('\tp = amqp091_put%d(p, 0);' % (8 * size))
        else:
            out.append('\tp = amqp091_put%s(p, m->%s);' % (TYPES[g.type][1], g.c))
    return out + ['\treturn p;']


def body_encode(m):
    m_ = 'm' if m.members else ''
    return ['\tuint64_t size = amqp091_size_%s(%s);' % (m.c, m_), '',
            '\tif (size > room)', '\t\treturn AMQP091_ERR_ROOM;',
            '\tamqp091_put_%s(dst%s);' % (m.c, ', m' if m_ else ''), '\treturn (ssize_t)size;']


def body_frame(m):
    m_ = 'm' if m.members else ''
    return ['\tuint64_t size = amqp091_size_%s(%s);' % (m.c, m_), '',
            '\tif (size + AMQP091_FRAME_OVERHEAD > room)', '\t\treturn AMQP091_ERR_ROOM;',
            '\tuint8_t *p = amqp091_frame_header_put(dst, AMQP091_FRAME_METHOD, channel, (uint32_t)size);',
            '\tp = amqp091_put_%s(p%s);' % (m.c, ', m' if m_ else ''),
            '\tp = amqp091_put8(p, AMQP091_FRAME_END);', '\treturn p - dst;']


BODIES = [('decode', body_decode), ('size', body_size), ('put', body_put), ('encode', body_encode),
          ('frame', body_frame)]


def method_functions(m, prefix=''):
    out = []
    for kind, body in BODIES:
        out += [prefix + signature(m, kind), '{'] + body(m) + ['}', '']
    return out


# --- content properties -------------------------------------------------------------------------------------

def flag(cls, f):
    return 'AMQP091_%s_%s' % (cls.c.upper(), f.c.upper())


def properties_header(cls):
    name = 'amqp091_%s_properties' % cls.c
    out = ['/* The property flags of class %s: which properties a content header carries. */' % cls.name,
           'enum amqp091_%s_flag {' % cls.c]
    out += ['\t%s = 1 << %d,' % (flag(cls, f), 15 - i) for i, f in enumerate(cls.properties)]
    mask = sum(1 << (15 - i) for i in range(len(cls.properties)))
    out += ['\tAMQP091_%s_FLAGS_KNOWN = 0x%04x,' % (cls.c.upper(), mask), '};', '']
    out += ['/* A member is meaningful only when its flag is set. */', 'struct %s {' % name, '\tuint16_t flags;']
    out += ['\t%s %s;' % (TYPES[f.type][0], f.c) for f in cls.properties] + ['};', '']
    return out + ['''\
/* Decodes a property block (flag word and values) as it stands in a content header; the slices borrow from it.
 * Members without their flag are left zero. The headers table is validated. 0, or AMQP091_ERR_SHORT, _TRAILING,
 * _DEPTH, or _MALFORMED: also for a second flag word and for flags that the class does not define (4.2.6.1). */
int %(n)s_decode(const uint8_t *data, uint32_t len, struct %(n)s *out);

/* As decode, without the result: what a broker that passes the block on must know. */
int %(n)s_validate(const uint8_t *data, uint32_t len);

/* The encoded size in octets, and the encoding at p, where there is that much room; returns the octet after.
 * Unknown flags are not written. */
uint64_t %(n)s_size(const struct %(n)s *m);
uint8_t *%(n)s_put(uint8_t *p, const struct %(n)s *m);

/* Encodes a property block; its size, or AMQP091_ERR_ROOM. */
ssize_t %(n)s_encode(uint8_t *dst, uint32_t room, const struct %(n)s *m);''' % {'n': name}, '']


def properties_source(cls):
    name = 'amqp091_%s_properties' % cls.c
    known = 'AMQP091_%s_FLAGS_KNOWN' % cls.c.upper()
    struct = 'struct %s' % name
    out = ['int %s_decode(const uint8_t *data, uint32_t len, %s *out)' % (name, struct), '{',
           '\tstruct amqp091_reader r;', '', '\tamqp091_reader_init(&r, data, len);',
           '\t*out = (%s){.flags = amqp091_read16(&r)};' % struct,
           '\tif (out->flags & ~%s)' % known, '\t\treturn AMQP091_ERR_MALFORMED;']
    for f in cls.properties:
        out += ['\tif (out->flags & %s)' % flag(cls, f),
                '\t\tout->%s = amqp091_read%s(&r);' % (f.c, TYPES[f.type][1])]
    # Few of the flags are set in most messages: validating walks the set ones.
    kinds = {15 - i: {'shortstr': 'KIND_SHORTSTR', 'table': 'KIND_TABLE'}.get(f.type) or TYPES[f.type][2]
             for i, f in enumerate(cls.properties)}
    out += ['\treturn amqp091_reader_finish(&r);', '}', '',
            'int %s_validate(const uint8_t *data, uint32_t len)' % name, '{',
            '\t/* By flag bit: a count of octets, or how to find it. */',
            '\tenum { KIND_SHORTSTR = 0, KIND_TABLE = 0xff };',
            '\tstatic const uint8_t kinds[16] = {%s};' % ', '.join('[%d] = %s' % k for k in kinds.items()),
            '\tstruct amqp091_reader r;', '', '\tamqp091_reader_init(&r, data, len);',
            '\tuint32_t flags = amqp091_read16(&r);',
            '\tif (flags & ~(uint32_t)%s)' % known, '\t\treturn AMQP091_ERR_MALFORMED;',
            '\twhile (flags) {', '\t\tunsigned bit = 31u - (unsigned)__builtin_clz(flags);',
            '\t\tflags &= ~(1u << bit);',
            '\t\tif (kinds[bit] == KIND_SHORTSTR)', '\t\t\tamqp091_read_shortstr(&r);',
            '\t\telse if (kinds[bit] == KIND_TABLE)', '\t\t\tamqp091_read_table(&r);',
            '\t\telse', '\t\t\tamqp091_read_bytes(&r, kinds[bit]);', '\t}']
    out += ['\treturn amqp091_reader_finish(&r);', '}', '',
            'uint64_t %s_size(const %s *m)' % (name, struct), '{', '\tuint64_t size = 2;', '']
    for f in cls.properties:
        size = TYPES[f.type][2] or '%d + (uint64_t)m->%s.len' % (LENGTH_SIZE[f.type], f.c)
        out += ['\tif (m->flags & %s)' % flag(cls, f), '\t\tsize += %s;' % size]
    out += ['\treturn size;', '}', '',
            'uint8_t *%s_put(uint8_t *p, const %s *m)' % (name, struct), '{',
            '\tp = amqp091_put16(p, m->flags & %s);' % known]
    for f in cls.properties:
        out += ['\tif (m->flags & %s)' % flag(cls, f),
                '\t\tp = amqp091_put%s(p, m->%s);' % (TYPES[f.type][1], f.c)]
    out += ['\treturn p;', '}', '',
            'ssize_t %s_encode(uint8_t *dst, uint32_t room, const %s *m)' % (name, struct), '{',
            '\tuint64_t size = %s_size(m);' % name, '', '\tif (size > room)', '\t\treturn AMQP091_ERR_ROOM;',
            '\t%s_put(dst, m);' % name, '\treturn (ssize_t)size;', '}', '']
    return out


# --- constants, domains, tables -----------------------------------------------------------------------------

def constants_header(spec):
    frames = [(n, v) for n, v, _ in spec.constants if n.startswith('frame-') and n != 'frame-error']
    replies = [(n, v) for n, v, c in spec.constants if c or n == 'reply-success']
    out = ['enum amqp091_frame_constant {']
    out += ['\tAMQP091_%s = %d,' % (c_name(n).upper(), v) for n, v in frames] + ['};', '']
    out += ['enum amqp091_class {']
    out += ['\tAMQP091_CLASS_%s = %d,' % (c.c.upper(), c.index) for c in spec.classes] + ['};', '']
    out += ['enum amqp091_reply {']
    for n, v in replies:
        n = c_name(n).upper()
        out.append('\tAMQP091_%s = %d,' % (n if n.startswith('REPLY') else 'REPLY_' + n, v))
    out += ['};', '', '/* class << 16 | method, as the first four octets of a method frame\'s payload. */',
            'enum amqp091_method_id {']
    return out + ['\t%s = 0x%08x,' % (m.enum, m.id) for m in spec.methods] + ['};', '']


def replies_source(spec):
    out = ['const struct amqp091_reply_info *amqp091_reply_info(uint16_t code)', '{',
           '\tstatic const struct amqp091_reply_info replies[] = {']
    for n, v, c in spec.constants:
        if c or n == 'reply-success':
            out.append('\t\t{%d, "%s", %s},' % (v, c_name(n).upper(), 'true' if c == 'hard-error' else 'false'))
    return out + ['\t};', '', '\tfor (unsigned i = 0; i < sizeof(replies) / sizeof(replies[0]); i++)',
                  '\t\tif (replies[i].code == code)', '\t\t\treturn &replies[i];', '\treturn NULL;', '}', '']


def asserts_header(spec):
    out = ['/* The specification\'s own limits on names. Decoding does not enforce them: what clients of today use\n'
           ' * goes beyond (codec.h, "Names"). */']
    out += ['bool amqp091_%s_is_strict(struct amqp091_shortstr name);' % c_name(d) for d in spec.asserts]
    return out + ['']


def asserts_source(spec):
    out = []
    for domain, checks in spec.asserts.items():
        allowed = [c for c in range(256) if c and re.fullmatch(checks['regexp'], chr(c), re.ASCII)]
        words = [sum(1 << (c & 63) for c in allowed if c >> 6 == w) for w in range(4)]
        out += ['bool amqp091_%s_is_strict(struct amqp091_shortstr name)' % c_name(domain), '{',
                '\t/* %s */' % checks['regexp'],
                '\tstatic const uint64_t allowed[4] = {%s};' % ', '.join('0x%016xu' % w for w in words), '',
                '\tif (name.len > %s)' % checks['length'], '\t\treturn false;',
                '\tfor (unsigned i = 0; i < name.len; i++)',
                '\t\tif (!(allowed[name.data[i] >> 6] >> (name.data[i] & 63) & 1))', '\t\t\treturn false;',
                '\treturn true;', '}', '']
    return out


def infos_source(spec):
    out = []
    for m in spec.methods:
        if m.members:
            out.append('static const struct amqp091_field_info fields_%s[] = {' % m.c)
            out += ['\t{"%s", AMQP091_FIELD_%s, offsetof(struct amqp091_%s, %s)},'
                    % (f.name, f.type.upper(), m.c, f.c) for f in m.members] + ['};', '']
    out += ['static const struct amqp091_method_info method_infos[] = {']
    for m in spec.methods:
        flags = [n for n in ('content', 'synchronous', 'to_server', 'to_client', 'has_nowait', 'deprecated')
                 if getattr(m, n)]
        parts = ['.id = %s' % m.enum, '.name = "%s"' % m.name] + ['.%s = true' % f for f in flags]
        if m.members:
            parts.append('.fields = fields_%s' % m.c)
        parts += ['.field_count = %d' % len(m.members), '.response_count = %d' % len(m.responses)]
        if m.responses:
            parts.append('.responses = {%s}' % ', '.join(spec.by_name[r].enum for r in m.responses))
        out.append('\t{%s},' % ', '.join(parts))
    out += ['};', '', 'const struct amqp091_method_info *amqp091_method_infos(unsigned *count)', '{',
            '\t*count = sizeof(method_infos) / sizeof(method_infos[0]);', '\treturn method_infos;', '}', '',
            'const struct amqp091_method_info *amqp091_method_info(uint32_t id)', '{', '\tswitch (id) {']
    for i, m in enumerate(spec.methods):
        out += ['\tcase %s:' % m.enum, '\t\treturn &method_infos[%d];' % i]
    return out + ['\tdefault:', '\t\treturn NULL;', '\t}', '}', '']


def generic_source(spec):
    out = ['int amqp091_method_decode(const uint8_t *payload, uint32_t len, struct amqp091_method *out)', '{',
           '\tif (len < 4)', '\t\treturn AMQP091_ERR_SHORT;', '\tout->id = wire_get32(payload);',
           '\tpayload += 4;', '\tlen -= 4;', '\tswitch (out->id) {']
    for m in spec.methods:
        out += ['\tcase %s:' % m.enum,
                '\t\treturn amqp091_decode_%s(payload, len%s);' % (m.c, ', &out->args.%s' % m.c if m.members else '')]
    out += ['\tdefault:', '\t\treturn AMQP091_ERR_UNKNOWN;', '\t}', '}', '']
    for kind, lead in (('encode', ''), ('frame', ', uint16_t channel')):
        call = ', channel' if lead else ''
        out += ['ssize_t amqp091_method_%s(uint8_t *dst, uint32_t room%s, const struct amqp091_method *m)'
                % (kind, lead), '{', '\tswitch (m->id) {']
        for m in spec.methods:
            out += ['\tcase %s:' % m.enum, '\t\treturn amqp091_%s_%s(dst, room%s%s);'
                    % (kind, m.c, call, ', &m->args.%s' % m.c if m.members else '')]
        out += ['\tdefault:', '\t\treturn AMQP091_ERR_UNKNOWN;', '\t}', '}', '']
    return out


# --- the files ----------------------------------------------------------------------------------------------

BANNER = ['/* SPDX-License-Identifier: Apache-2.0 */',
          '/* Made by broker/amqp091/codegen.py from the specification\'s XML: change that, not this. */']

METHOD_CONTRACT = '''\
/* For each method CLASS_METHOD (codec.h describes the rules they share):
 *   int amqp091_decode_X(args, len, out)           args: after the class and method ids; slices borrow from it.
 *                                                  0, or AMQP091_ERR_SHORT, _TRAILING, _UTF8, _MALFORMED, _DEPTH
 *   uint64_t amqp091_size_X(m)                     payload octets, class and method ids included
 *   uint8_t *amqp091_put_X(p, m)                   writes that payload unchecked, returns the octet after
 *   ssize_t amqp091_encode_X(dst, room, m)         checked put: octets written or AMQP091_ERR_ROOM
 *   ssize_t amqp091_frame_X(dst, room, channel, m) the whole method frame, frame-end included; as encode
 * A method without fields (reserved ones do not count) has no struct and no such argument. */'''

METHOD_GENERIC = '''\
/* Decodes a method frame's whole payload. out->id is set whenever len >= 4. As amqp091_decode_X, or
 * AMQP091_ERR_UNKNOWN. */
int amqp091_method_decode(const uint8_t *payload, uint32_t len, struct amqp091_method *out);

/* As amqp091_encode_X and amqp091_frame_X, or AMQP091_ERR_UNKNOWN for an id that is none. */
ssize_t amqp091_method_encode(uint8_t *dst, uint32_t room, const struct amqp091_method *m);
ssize_t amqp091_method_frame(uint8_t *dst, uint32_t room, uint16_t channel, const struct amqp091_method *m);

/* What the specification says of a method, or NULL for an id that is none; and of all methods. */
const struct amqp091_method_info *amqp091_method_info(uint32_t id);
const struct amqp091_method_info *amqp091_method_infos(unsigned *count);

/* The name and severity of a reply code, or NULL for a code that the specification does not define. */
const struct amqp091_reply_info *amqp091_reply_info(uint16_t code);
'''


def write_constants(spec, path):
    out = BANNER + ['#ifndef BROKER_AMQP091_CONSTANTS_H', '#define BROKER_AMQP091_CONSTANTS_H', '']
    write(path, out + constants_header(spec) + ['#endif'])


def write_header(spec, path):
    out = BANNER + ['#ifndef BROKER_AMQP091_METHODS_H', '#define BROKER_AMQP091_METHODS_H', '',
                    '#include "broker/amqp091/frame091.h"', '#include "broker/amqp091/method_info.h"', '']
    for m in spec.methods:
        out += method_struct(m)
    out += ['/* Any method. */', 'struct amqp091_method {', '\tuint32_t id;', '\tunion {']
    out += ['\t\tstruct amqp091_%s %s;' % (m.c, m.c) for m in spec.methods if m.members]
    out += ['\t} args;', '};', '', METHOD_CONTRACT]
    for m in spec.methods:
        if m.hot:
            out += method_functions(m, 'static inline ')
        else:
            out += [signature(m, kind) + ';' for kind, _ in BODIES] + ['']
    out += [METHOD_GENERIC]
    for c in spec.classes:
        if c.properties:
            out += properties_header(c)
    out += asserts_header(spec) + ['#endif', '']
    write(path, out)


def write_source(spec, path):
    out = BANNER + ['#include "broker/amqp091/methods.h"', '', '#include <stddef.h>', '']
    for m in spec.methods:
        if not m.hot:
            out += method_functions(m)
    for c in spec.classes:
        if c.properties:
            out += properties_source(c)
    out += generic_source(spec) + infos_source(spec) + replies_source(spec) + asserts_source(spec)
    write(path, out)


def write(path, lines):
    with open(path, 'w', encoding='ascii') as f:
        f.write('\n'.join(lines).rstrip('\n') + '\n')


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--constants', required=True)
    parser.add_argument('--header', required=True)
    parser.add_argument('--source', required=True)
    parser.add_argument('xml', nargs='+')
    args = parser.parse_args()
    spec = Spec(args.xml)
    write_constants(spec, args.constants)
    write_header(spec, args.header)
    write_source(spec, args.source)
    return 0


if __name__ == '__main__':
    sys.exit(main())
