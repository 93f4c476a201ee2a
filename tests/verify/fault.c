/* A PKCS #11 module that answers as if it had a token, without any cryptography, and misbehaves in
 * one function in one way: FAULT=C_Function:kind. Written for these tests; uses no vendor header. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long UL;
typedef struct { UL type; void *value; UL length; } Attribute;
typedef struct { UL kind; void *param; UL length; } Mechanism;
typedef struct { unsigned char major, minor; } Version;

enum { OK = 0 };
static UL next_handle = 10;
static int found;

static const char *fault_kind(const char *function) {
    const char *fault = getenv("FAULT");
    size_t length = strlen(function);
    if (fault && strncmp(fault, function, length) == 0 && fault[length] == ':')
        return fault + length + 1;
    return "";
}

/* Returns the kind of what has to be done by the function itself. */
static const char *misbehave(const char *function) {
    const char *kind = fault_kind(function);
    if (!strcmp(kind, "segv")) { signal(SIGSEGV, SIG_DFL); raise(SIGSEGV); }
    if (!strcmp(kind, "abort")) abort();
    if (!strcmp(kind, "exit")) exit(0);
    if (!strcmp(kind, "hang")) for (;;) sleep(1000);
    if (!strcmp(kind, "stdout")) {
        for (int i = 0; i < 2000; i++) printf("{\"rv\":0,\"done\":1} this is no answer\n");
        fflush(stdout);
        if (write(1, "\0\0\0\2J{}", 7) < 0) abort();
    }
    return kind;
}

#define BEGIN(name) const char *kind = misbehave(#name); if (!strcmp(kind, "garbage")) return 0xdeadbeefcafeUL; int overlong = !strcmp(kind, "overlong"); (void)overlong
#define LONG 0x7fffffffffffUL

static UL C_Initialize(void *a) { BEGIN(C_Initialize); (void)a; return OK; }
static UL C_Finalize(void *a) { BEGIN(C_Finalize); (void)a; return OK; }
static UL C_GetInfo(unsigned char *info) {
    BEGIN(C_GetInfo);
    memset(info, overlong ? 'A' : ' ', 88);
    info[0] = 2; info[1] = 40;
    return OK;
}
UL C_GetFunctionList(void **list);
static UL C_GetSlotList(unsigned char present, UL *slots, UL *count) {
    BEGIN(C_GetSlotList); (void)present;
    if (slots && *count) slots[0] = 1;
    *count = overlong ? LONG : 1;
    return OK;
}
static UL C_GetSlotInfo(UL slot, void *info) { BEGIN(C_GetSlotInfo); (void)slot; (void)info; return OK; }
/* label 32, manufacturer 32, model 16, serial 16, flags, 10 numbers, 2 versions, time 16 */
static UL C_GetTokenInfo(UL slot, unsigned char *info) {
    BEGIN(C_GetTokenInfo); (void)slot;
    memset(info, ' ', 96);
    memcpy(info, "fault", 5);
    memcpy(info + 80, "1", 1);
    *(UL *)(info + 96) = 0x404 | 0x8;
    /* No end to any text, and no text in UTF-8. */
    if (overlong) memset(info + 32, 0xff, 48);
    return OK;
}
static const UL mechanisms[] = { 0x1080, 0x1081, 0x1082, 0x2109, 0x250, 0x1087, 0x108a, 0x251, 0x0, 0x9, 0x40 };
static UL C_GetMechanismList(UL slot, UL *list, UL *count) {
    BEGIN(C_GetMechanismList); (void)slot;
    UL n = sizeof mechanisms / sizeof *mechanisms;
    if (list) memcpy(list, mechanisms, sizeof mechanisms < *count * sizeof(UL) ? sizeof mechanisms : *count * sizeof(UL));
    *count = overlong ? LONG : n;
    return OK;
}
static UL C_GetMechanismInfo(UL slot, UL kind_, UL *info) {
    BEGIN(C_GetMechanismInfo); (void)slot; (void)kind_;
    info[0] = 0; info[1] = 4096; info[2] = 0xfffff;
    return OK;
}
static UL C_InitToken(UL a, void *b, UL c, void *d) { (void)a; (void)b; (void)c; (void)d; return 0x54; }
static UL C_InitPIN(UL a, void *b, UL c) { BEGIN(C_InitPIN); (void)a; (void)b; (void)c; return 0x101; }
static UL C_SetPIN(UL a, void *b, UL c, void *d, UL e) { (void)a; (void)b; (void)c; (void)d; (void)e; return 0x54; }
static UL C_OpenSession(UL slot, UL flags, void *a, void *b, UL *session) {
    BEGIN(C_OpenSession); (void)slot; (void)flags; (void)a; (void)b;
    *session = next_handle++;
    return OK;
}
static UL C_CloseSession(UL session) { BEGIN(C_CloseSession); (void)session; return OK; }
static UL C_CloseAllSessions(UL slot) { (void)slot; return OK; }
static UL C_GetSessionInfo(UL s, void *i) { (void)s; (void)i; return 0x54; }
static UL none(void) { return 0x54; }
static UL C_Login(UL session, UL user, void *pin, UL length) {
    BEGIN(C_Login); (void)session; (void)user; (void)pin; (void)length; return OK;
}
static UL C_Logout(UL session) { BEGIN(C_Logout); (void)session; return OK; }
static UL C_CreateObject(UL s, Attribute *t, UL n, UL *object) {
    BEGIN(C_CreateObject); (void)s; (void)t; (void)n; *object = next_handle++; return OK;
}
static UL C_CopyObject(UL s, UL o, Attribute *t, UL n, UL *object) {
    BEGIN(C_CopyObject); (void)s; (void)o; (void)t; (void)n; *object = next_handle++; return OK;
}
static UL C_DestroyObject(UL s, UL o) { BEGIN(C_DestroyObject); (void)s; (void)o; return OK; }
static UL C_GetAttributeValue(UL s, UL o, Attribute *t, UL n) {
    BEGIN(C_GetAttributeValue); (void)s; (void)o;
    for (UL i = 0; i < n; i++) {
        if (t[i].value && t[i].length) memset(t[i].value, 1, 1);
        t[i].length = overlong ? LONG : 1;
    }
    return OK;
}
static UL C_SetAttributeValue(UL s, UL o, Attribute *t, UL n) {
    BEGIN(C_SetAttributeValue); (void)s; (void)o; (void)t; (void)n; return OK;
}
static UL C_FindObjectsInit(UL s, Attribute *t, UL n) {
    BEGIN(C_FindObjectsInit); (void)s; (void)t; (void)n; found = 0; return OK;
}
static UL C_FindObjects(UL s, UL *objects, UL most, UL *count) {
    BEGIN(C_FindObjects); (void)s; (void)most;
    /* One object, or without end the same one. */
    objects[0] = 7;
    *count = overlong ? LONG : !strcmp(kind, "endless") || !found++;
    return OK;
}
static UL C_FindObjectsFinal(UL s) { BEGIN(C_FindObjectsFinal); (void)s; return OK; }
#define INIT(name) static UL name(UL s, Mechanism *m, UL k) { BEGIN(name); (void)s; (void)m; (void)k; return OK; }
#define WORK(name) static UL name(UL s, unsigned char *d, UL n, unsigned char *o, UL *l) { \
    BEGIN(name); (void)s; if (o && n <= *l) memcpy(o, d, n); *l = overlong ? LONG : n; return OK; }
INIT(C_EncryptInit) WORK(C_Encrypt) INIT(C_DecryptInit) WORK(C_Decrypt) INIT(C_SignInit) WORK(C_Sign) WORK(C_Digest)
static UL C_DigestInit(UL s, Mechanism *m) { BEGIN(C_DigestInit); (void)s; (void)m; return OK; }
static UL C_GenerateKey(UL s, Mechanism *m, Attribute *t, UL n, UL *key) {
    BEGIN(C_GenerateKey); (void)s; (void)m; (void)t; (void)n; *key = next_handle++; return OK;
}
static UL C_GenerateKeyPair(UL s, Mechanism *m, Attribute *a, UL b, Attribute *c, UL d, UL *p, UL *q) {
    BEGIN(C_GenerateKeyPair); (void)s; (void)m; (void)a; (void)b; (void)c; (void)d;
    *p = next_handle++; *q = next_handle++; return OK;
}
static UL C_WrapKey(UL s, Mechanism *m, UL w, UL k, unsigned char *o, UL *l) {
    BEGIN(C_WrapKey); (void)s; (void)m; (void)w; (void)k;
    if (o) memset(o, 7, 40);
    *l = overlong ? LONG : 40; return OK;
}
static UL C_UnwrapKey(UL s, Mechanism *m, UL k, void *w, UL wl, Attribute *t, UL n, UL *key) {
    BEGIN(C_UnwrapKey); (void)s; (void)m; (void)k; (void)w; (void)wl; (void)t; (void)n;
    *key = next_handle++; return OK;
}
static UL C_GenerateRandom(UL s, unsigned char *d, UL n) { BEGIN(C_GenerateRandom); (void)s; memset(d, 3, n); return OK; }

/* The functions of version 2.40 in the order of the standard. */
static struct { Version version; void *functions[68]; } table = { { 2, 40 }, {
    C_Initialize, C_Finalize, C_GetInfo, C_GetFunctionList, C_GetSlotList, C_GetSlotInfo,
    C_GetTokenInfo, C_GetMechanismList, C_GetMechanismInfo, C_InitToken, C_InitPIN, C_SetPIN,
    C_OpenSession, C_CloseSession, C_CloseAllSessions, C_GetSessionInfo, none, none, C_Login,
    C_Logout, C_CreateObject, C_CopyObject, C_DestroyObject, none, C_GetAttributeValue,
    C_SetAttributeValue, C_FindObjectsInit, C_FindObjects, C_FindObjectsFinal, C_EncryptInit,
    C_Encrypt, none, none, C_DecryptInit, C_Decrypt, none, none, C_DigestInit, C_Digest, none, none,
    none, C_SignInit, C_Sign, none, none, none, none, none, none, none, none, none, none, none, none,
    none, none, C_GenerateKey, C_GenerateKeyPair, C_WrapKey, C_UnwrapKey, none, none,
    C_GenerateRandom, none, none, none,
} };

UL C_GetFunctionList(void **list) { BEGIN(C_GetFunctionList); *list = &table; return OK; }
