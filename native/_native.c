/* The stamps of many files, compared with the disk in one call.

   Twin of src/sccache/hashing/stamps.py (same class, same methods, same tests); no policy.
   Owns: a growing array of (path, stamp, number).  Must not know: what a number stands for.

   A stamp is what stat(2) tells of the thing behind a path: device, inode, size, mtime, ctime.  All zeros: nothing is there.
   Method `mismatches` first copies the path pointers (with the GIL held, so that `add` may move the array meanwhile),
   then stats without the GIL, then compares with the GIL held again.  Paths live as long as the table. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#ifdef __APPLE__
#define MTIME st_mtimespec
#define CTIME st_ctimespec
#else
#define MTIME st_mtim
#define CTIME st_ctim
#endif

typedef struct {
    int64_t device, inode, size, mtime_ns, ctime_ns;
} Stamp;

typedef struct {
    char *path;
    Stamp stamp;
    uint32_t number;
    int known; /* 0: the stamp equals nothing */
} Row;

typedef struct {
    PyObject_HEAD
    Row *rows;
    size_t used, room;
} Table;

typedef struct {
    const char *path;
    Stamp stamp;
    int known;
} Probe;

static const uint32_t ANY = 0xFFFFFFFFu;
#define PROBES_ON_STACK 512

/* 1: `stamp` is filled; 0: the system would not tell. */
static int look(const char *path, Stamp *stamp)
{
    struct stat st;
    memset(stamp, 0, sizeof *stamp);
    if (stat(path, &st) != 0)
        return errno == ENOENT || errno == ENOTDIR;
    stamp->device = (int64_t)st.st_dev;
    stamp->inode = (int64_t)st.st_ino;
    stamp->size = (int64_t)st.st_size;
    stamp->mtime_ns = (int64_t)st.MTIME.tv_sec * 1000000000 + st.MTIME.tv_nsec;
    stamp->ctime_ns = (int64_t)st.CTIME.tv_sec * 1000000000 + st.CTIME.tv_nsec;
    return 1;
}

static Row *row_of(Table *self, unsigned long id)
{
    if (id < self->used)
        return &self->rows[id];
    PyErr_SetString(PyExc_IndexError, "no such id");
    return NULL;
}

static PyObject *table_add(Table *self, PyObject *arg)
{
    char *bytes;
    Py_ssize_t length;
    if (PyBytes_AsStringAndSize(arg, &bytes, &length) < 0)
        return NULL;
    if (self->used == self->room) {
        size_t room = self->room ? self->room * 2 : 1024;
        Row *rows = room < ANY ? PyMem_RawRealloc(self->rows, room * sizeof *rows) : NULL;
        if (!rows)
            return PyErr_NoMemory();
        self->rows = rows;
        self->room = room;
    }
    char *path = PyMem_RawMalloc((size_t)length + 1);
    if (!path)
        return PyErr_NoMemory();
    memcpy(path, bytes, (size_t)length + 1);
    Row *row = &self->rows[self->used];
    memset(row, 0, sizeof *row);
    row->path = path;
    return PyLong_FromSize_t(self->used++);
}

static PyObject *table_set(Table *self, PyObject *args)
{
    unsigned int id, number;
    Stamp s;
    /* "L" is long long: int64_t on every platform that we build for */
    if (!PyArg_ParseTuple(args, "II(LLLLL)", &id, &number, &s.device, &s.inode, &s.size, &s.mtime_ns, &s.ctime_ns))
        return NULL;
    Row *row = row_of(self, id);
    if (!row)
        return NULL;
    row->stamp = s;
    row->number = number;
    row->known = 1;
    Py_RETURN_NONE;
}

static PyObject *table_forget(Table *self, PyObject *arg)
{
    unsigned long id = PyLong_AsUnsignedLong(arg);
    if (PyErr_Occurred())
        return NULL;
    Row *row = row_of(self, id);
    if (!row)
        return NULL;
    row->known = 0;
    row->number = 0;
    Py_RETURN_NONE;
}

static PyObject *table_number(Table *self, PyObject *arg)
{
    unsigned long id = PyLong_AsUnsignedLong(arg);
    if (PyErr_Occurred())
        return NULL;
    Row *row = row_of(self, id);
    return row ? PyLong_FromUnsignedLong(row->number) : NULL;
}

static PyObject *table_stamp(Table *self, PyObject *arg)
{
    unsigned long id = PyLong_AsUnsignedLong(arg);
    if (PyErr_Occurred())
        return NULL;
    Row *row = row_of(self, id);
    if (!row)
        return NULL;
    if (!row->known)
        Py_RETURN_NONE;
    Stamp *s = &row->stamp;
    return Py_BuildValue("(LLLLL)", s->device, s->inode, s->size, s->mtime_ns, s->ctime_ns);
}

static int wanted(const Table *self, const uint32_t *pair, const Probe *probe)
{
    const Row *row = &self->rows[pair[0]];
    return probe->known && row->known && (pair[1] == ANY || pair[1] == row->number)
           && memcmp(&row->stamp, &probe->stamp, sizeof row->stamp) == 0;
}

static PyObject *compare(Table *self, const uint32_t *pairs, size_t count, Probe *probes)
{
    for (size_t i = 0; i < count; i++) {
        Row *row = row_of(self, pairs[2 * i]);
        if (!row)
            return NULL;
        probes[i].path = row->path;
    }
    Py_BEGIN_ALLOW_THREADS
    for (size_t i = 0; i < count; i++)
        probes[i].known = look(probes[i].path, &probes[i].stamp);
    Py_END_ALLOW_THREADS
    PyObject *wrong = PyList_New(0);
    for (size_t i = 0; wrong && i < count; i++) {
        if (wanted(self, pairs + 2 * i, &probes[i]))
            continue;
        PyObject *index = PyLong_FromSize_t(i);
        if (!index || PyList_Append(wrong, index) < 0)
            Py_CLEAR(wrong);
        Py_XDECREF(index);
    }
    return wrong;
}

static PyObject *table_mismatches(Table *self, PyObject *arg)
{
    Py_buffer view;
    if (PyObject_GetBuffer(arg, &view, PyBUF_SIMPLE) < 0)
        return NULL;
    PyObject *wrong = NULL;
    size_t count = (size_t)view.len / 8;
    Probe few[PROBES_ON_STACK];
    /* A copy: another thread may rewrite the watch while we stat. */
    uint32_t *pairs = PyMem_RawMalloc(count * 8 + 1);
    Probe *probes = count <= PROBES_ON_STACK ? few : PyMem_RawMalloc(count * sizeof *probes);
    if (pairs && probes && view.len % 8 == 0) {
        memcpy(pairs, view.buf, count * 8);
        wrong = compare(self, pairs, count, probes);
    } else if (view.len % 8 != 0) {
        PyErr_SetString(PyExc_ValueError, "not a list of pairs");
    } else {
        PyErr_NoMemory();
    }
    if (probes != few)
        PyMem_RawFree(probes);
    PyMem_RawFree(pairs);
    PyBuffer_Release(&view);
    return wrong;
}

static Py_ssize_t table_length(Table *self)
{
    return (Py_ssize_t)self->used;
}

static void table_free(Table *self)
{
    for (size_t i = 0; i < self->used; i++)
        PyMem_RawFree(self->rows[i].path);
    PyMem_RawFree(self->rows);
    PyTypeObject *type = Py_TYPE(self);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyMethodDef table_methods[] = {
    {"add", (PyCFunction)table_add, METH_O, "add(path) -> id: a new row with no stamp"},
    {"set", (PyCFunction)table_set, METH_VARARGS, "set(id, number, stamp)"},
    {"forget", (PyCFunction)table_forget, METH_O, "forget(id): the row matches nothing until it is set again"},
    {"number", (PyCFunction)table_number, METH_O, "number(id) -> the row's number, 0 if none"},
    {"stamp", (PyCFunction)table_stamp, METH_O, "stamp(id) -> the row's stamp or None"},
    {"mismatches", (PyCFunction)table_mismatches, METH_O,
     "mismatches(pairs) -> indexes of the (id, number) pairs whose number or stamp is not what the table and the disk say"},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot table_slots[] = {
    {Py_tp_doc, "Stamps and numbers of many paths; see sccache.hashing.stamps."},
    {Py_tp_methods, table_methods},
    {Py_tp_dealloc, table_free},
    {Py_tp_new, PyType_GenericNew},
    {Py_sq_length, table_length},
    {0, NULL},
};

static PyType_Spec table_spec = {"sccache._native.StampTable", sizeof(Table), 0, Py_TPFLAGS_DEFAULT, table_slots};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_native", "Optional C twins; see sccache.hashing.stamps.", -1, NULL, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void)
{
    PyObject *made = PyModule_Create(&module);
    PyObject *table = made ? PyType_FromSpec(&table_spec) : NULL;
    if (table && PyModule_AddObject(made, "StampTable", table) == 0)
        return made;
    Py_XDECREF(table);
    Py_XDECREF(made);
    return NULL;
}
