#ifndef COPENSSL_SHIM_H
#define COPENSSL_SHIM_H

// OpenSSL 3 as the system has it. Macros Swift cannot see get a static inline function of their
// own, named COpenSSL_<macro>.
#include <string.h>

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/param_build.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

// SSL: one BIO over the buffers of the event loop.
//
// A worker has one COpenSSL_transport and one BIO over it, shared by all its connections: only one
// of them runs at a time. The windows are set for the length of one SSL_* call. Input is read from
// where the channel put it; output goes into the window of the ciphertext buffer while it has room,
// then into `spill`, which grows, so that no call ever stops for lack of room.
typedef struct COpenSSL_transport {
    const unsigned char *input;
    size_t input_bytes;
    unsigned char *output;
    size_t output_room;
    size_t output_bytes;
    unsigned char *spill;
    size_t spill_capacity;
    size_t spill_bytes;
    // What the last call saw, set by COpenSSL_observe and cleared by the caller.
    unsigned int key_updates;
    unsigned int refused_renegotiations;
    int alert_sent;
    int alert_received;
} COpenSSL_transport;

static int COpenSSL_transport_read(BIO *bio, char *data, size_t length, size_t *read) {
    COpenSSL_transport *transport = (COpenSSL_transport *)BIO_get_data(bio);
    size_t count = length < transport->input_bytes ? length : transport->input_bytes;
    BIO_clear_retry_flags(bio);
    if (count == 0) {
        BIO_set_retry_read(bio);
        *read = 0;
        return 0;
    }
    memcpy(data, transport->input, count);
    transport->input += count;
    transport->input_bytes -= count;
    *read = count;
    return 1;
}

static int COpenSSL_transport_write(BIO *bio, const char *data, size_t length, size_t *written) {
    COpenSSL_transport *transport = (COpenSSL_transport *)BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    // Once something has spilled, all that follows does: the order of bytes is kept.
    if (transport->spill_bytes == 0 && length <= transport->output_room) {
        memcpy(transport->output + transport->output_bytes, data, length);
        transport->output_bytes += length;
        transport->output_room -= length;
        *written = length;
        return 1;
    }
    if (transport->spill_capacity - transport->spill_bytes < length) {
        size_t capacity = transport->spill_bytes + length + 8192;
        unsigned char *grown = (unsigned char *)OPENSSL_realloc(transport->spill, capacity);
        if (grown == NULL) {
            *written = 0;
            return 0;
        }
        transport->spill = grown;
        transport->spill_capacity = capacity;
    }
    memcpy(transport->spill + transport->spill_bytes, data, length);
    transport->spill_bytes += length;
    *written = length;
    return 1;
}

static long COpenSSL_transport_control(BIO *bio, int command, long number, void *pointer) {
    COpenSSL_transport *transport = (COpenSSL_transport *)BIO_get_data(bio);
    (void)number;
    (void)pointer;
    switch (command) {
    case BIO_CTRL_FLUSH:
        return 1;
    case BIO_CTRL_PENDING:
        return (long)transport->input_bytes;
    default:
        return 0;
    }
}

static inline BIO_METHOD *COpenSSL_transport_method(void) {
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "ByteBuffer");
    if (method != NULL) {
        BIO_meth_set_read_ex(method, COpenSSL_transport_read);
        BIO_meth_set_write_ex(method, COpenSSL_transport_write);
        BIO_meth_set_ctrl(method, COpenSSL_transport_control);
    }
    return method;
}

// Counts what a peer may not do without end, and notes alerts (SSL_CTX_set_msg_callback(3)). In C
// because OpenSSL calls it for each record, twice.
static void COpenSSL_observe(
    int sent, int version, int type, const void *bytes, size_t length, SSL *ssl, void *argument) {
    COpenSSL_transport *transport = (COpenSSL_transport *)argument;
    const unsigned char *message = (const unsigned char *)bytes;
    (void)version;
    (void)ssl;
    if (type == SSL3_RT_HANDSHAKE) {
        if (!sent && length > 0 && message[0] == SSL3_MT_KEY_UPDATE) transport->key_updates += 1;
    } else if (type == SSL3_RT_ALERT && length == 2) {
        if (sent) {
            transport->alert_sent = message[1];
            if (message[1] == SSL_AD_NO_RENEGOTIATION) transport->refused_renegotiations += 1;
        } else {
            transport->alert_received = message[1];
        }
    }
}

// One record of TLS 1.3 (RFC 8446, 5.2): header, encrypted content and type, tag. Here and not in
// Swift because they are the two calls each message costs; everything about a record but these
// ciphers is in RecordProtection.swift.
//
// offset  bytes  meaning
//      0      1  23, whatever is inside
//      1      2  3, 3
//      3      2  bytes that follow, big-endian: content_bytes + 17
//      5      n  content, encrypted
//  5 + n      1  type of the content, encrypted
//  6 + n     16  tag
#define COpenSSL_record_header 5
#define COpenSSL_record_tag 16

// The nonce of a record: its number, big-endian, over the last eight bytes of the IV (5.3).
static inline void COpenSSL_record_nonce(
    unsigned char nonce[12], const unsigned char *iv, unsigned long long number) {
    memcpy(nonce, iv, 12);
    for (int position = 11; number != 0; position--, number >>= 8)
        nonce[position] ^= (unsigned char)number;
}

// Writes content_bytes + 22 bytes to record; 1, or 0 where OpenSSL fails.
static inline int COpenSSL_seal_record(
    EVP_CIPHER_CTX *context, const unsigned char *iv, unsigned long long number,
    unsigned char type, const unsigned char *content, int content_bytes, unsigned char *record) {
    unsigned char nonce[12];
    unsigned char *body = record + COpenSSL_record_header;
    int follows = content_bytes + 1 + COpenSSL_record_tag;
    int written = 0;
    COpenSSL_record_nonce(nonce, iv, number);
    record[0] = SSL3_RT_APPLICATION_DATA;
    record[1] = 3;
    record[2] = 3;
    record[3] = (unsigned char)(follows >> 8);
    record[4] = (unsigned char)follows;
    return EVP_EncryptInit_ex2(context, NULL, NULL, nonce, NULL) == 1
        && EVP_EncryptUpdate(context, NULL, &written, record, COpenSSL_record_header) == 1
        && EVP_EncryptUpdate(context, body, &written, content, content_bytes) == 1
        && EVP_EncryptUpdate(context, body + content_bytes, &written, &type, 1) == 1
        && EVP_EncryptFinal_ex(context, body + content_bytes + 1, &written) == 1
        && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, COpenSSL_record_tag,
                               body + content_bytes + 1) == 1;
}

// Opens a record of record_bytes in all, at least 21, and writes record_bytes - 21 bytes to
// content: to be used only where this returns 1, for 0 says that the record is not authentic.
static inline int COpenSSL_open_record(
    EVP_CIPHER_CTX *context, const unsigned char *iv, unsigned long long number,
    const unsigned char *record, int record_bytes, unsigned char *content) {
    unsigned char nonce[12];
    const unsigned char *body = record + COpenSSL_record_header;
    int content_bytes = record_bytes - COpenSSL_record_header - COpenSSL_record_tag;
    int written = 0;
    COpenSSL_record_nonce(nonce, iv, number);
    return EVP_DecryptInit_ex2(context, NULL, NULL, nonce, NULL) == 1
        && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, COpenSSL_record_tag,
                               (void *)(body + content_bytes)) == 1
        && EVP_DecryptUpdate(context, NULL, &written, record, COpenSSL_record_header) == 1
        && EVP_DecryptUpdate(context, content, &written, body, content_bytes) == 1
        && EVP_DecryptFinal_ex(context, content + content_bytes, &written) == 1;
}

static inline void COpenSSL_SSL_CTX_set_observer(SSL_CTX *context, COpenSSL_transport *transport) {
    SSL_CTX_set_msg_callback(context, COpenSSL_observe);
    SSL_CTX_set_msg_callback_arg(context, transport);
}

static inline int COpenSSL_SSL_CTX_set_proto_versions(SSL_CTX *context, int minimum, int maximum) {
    return SSL_CTX_set_min_proto_version(context, minimum)
        && SSL_CTX_set_max_proto_version(context, maximum);
}
static inline void COpenSSL_SSL_CTX_set_mode(SSL_CTX *context, long mode) {
    SSL_CTX_set_mode(context, mode);
}
static inline void COpenSSL_SSL_CTX_set_max_cert_list(SSL_CTX *context, long bytes) {
    SSL_CTX_set_max_cert_list(context, bytes);
}
static inline void COpenSSL_SSL_CTX_set_session_cache_off(SSL_CTX *context) {
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
}
// Sessions go to the callback alone, which keeps them.
static inline void COpenSSL_SSL_CTX_set_session_cache_client(SSL_CTX *context) {
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
}
static inline int COpenSSL_SSL_CTX_set1_groups_list(SSL_CTX *context, const char *groups) {
    return (int)SSL_CTX_set1_groups_list(context, groups);
}
static inline int COpenSSL_SSL_CTX_set1_sigalgs_list(SSL_CTX *context, const char *algorithms) {
    return (int)SSL_CTX_set1_sigalgs_list(context, algorithms);
}
static inline int COpenSSL_SSL_set_tlsext_host_name(SSL *ssl, const char *name) {
    return (int)SSL_set_tlsext_host_name(ssl, name);
}
static inline int COpenSSL_SSL_get_negotiated_group(SSL *ssl) {
    return (int)SSL_get_negotiated_group(ssl);
}
static inline void COpenSSL_SSL_set_app_data(SSL *ssl, void *data) {
    SSL_set_app_data(ssl, data);
}
static inline void *COpenSSL_SSL_get_app_data(const SSL *ssl) {
    return SSL_get_app_data(ssl);
}
static inline STACK_OF(X509) *COpenSSL_sk_X509_new_null(void) {
    return sk_X509_new_null();
}
static inline int COpenSSL_sk_X509_push(STACK_OF(X509) *stack, X509 *certificate) {
    return sk_X509_push(stack, certificate);
}
static inline void COpenSSL_sk_X509_pop_free(STACK_OF(X509) *stack) {
    sk_X509_pop_free(stack, X509_free);
}
static inline int COpenSSL_sk_X509_num(const STACK_OF(X509) *stack) {
    return sk_X509_num(stack);
}
static inline X509 *COpenSSL_sk_X509_value(const STACK_OF(X509) *stack, int index) {
    return sk_X509_value(stack, index);
}

// Subject alternative names of one kind. -1 for a certificate without any; the text of name
// `index` of kind GEN_DNS or GEN_URI, or NULL where it is of another kind.
static inline GENERAL_NAMES *COpenSSL_X509_alternative_names(const X509 *certificate) {
    return (GENERAL_NAMES *)X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
}
static inline int COpenSSL_GENERAL_NAMES_num(const GENERAL_NAMES *names) {
    return sk_GENERAL_NAME_num(names);
}
static inline const ASN1_STRING *COpenSSL_GENERAL_NAMES_text(
    const GENERAL_NAMES *names, int index, int kind) {
    const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, index);
    if (name->type != kind || (kind != GEN_DNS && kind != GEN_URI)) return NULL;
    return name->d.ia5;
}
static inline void COpenSSL_GENERAL_NAMES_free(GENERAL_NAMES *names) {
    GENERAL_NAMES_free(names);
}

// getrandom(2) and mallopt(3), which Swift's Glibc module leaves out.
#include <malloc.h>
#include <sys/prctl.h>
#include <sys/random.h>

// Parameter lists are arrays of structures with pointers into the caller's memory: built here,
// where they live no longer than the one call that reads them.
static inline int COpenSSL_HMAC_init(EVP_MAC_CTX *context, const char *digest,
                                     const unsigned char *key, size_t key_bytes) {
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)digest, 0),
        OSSL_PARAM_construct_end()};
    return EVP_MAC_init(context, key, key_bytes, parameters);
}

// What OpenSSL asks its TLS13-KDF (RFC 8446, 7.1; EVP_KDF-TLS13_KDF(7)).
typedef struct COpenSSL_schedule_question {
    // HKDF-Extract with a salt that is derived from `former`; else HKDF-Expand-Label.
    int is_extract;
    // 32 or 48.
    size_t digest_bytes;
    const unsigned char *secret;
    size_t secret_bytes;
    const unsigned char *former;
    size_t former_bytes;
    // Without "tls13 ", which was there.
    const unsigned char *label;
    size_t label_bytes;
    const unsigned char *data;
    size_t data_bytes;
} COpenSSL_schedule_question;

static inline void COpenSSL_octets(const OSSL_PARAM *parameter, const unsigned char **octets,
                                   size_t *count) {
    *octets = (const unsigned char *)parameter->data;
    *count = parameter->data == NULL ? 0 : parameter->data_size;
}

// 1, or 0 where something is missing or is not known here.
static inline int COpenSSL_read_schedule_question(const OSSL_PARAM *parameters,
                                                  COpenSSL_schedule_question *question) {
    const unsigned char *prefix = NULL;
    size_t prefix_bytes = 0;
    int mode = -1;
    memset(question, 0, sizeof *question);
    for (; parameters != NULL && parameters->key != NULL; parameters++) {
        const char *key = parameters->key;
        if (strcmp(key, OSSL_KDF_PARAM_MODE) == 0) {
            if (OSSL_PARAM_get_int(parameters, &mode) != 1) return 0;
        } else if (strcmp(key, OSSL_KDF_PARAM_DIGEST) == 0) {
            const char *name = NULL;
            if (OSSL_PARAM_get_utf8_string_ptr(parameters, &name) != 1) return 0;
            if (OPENSSL_strcasecmp(name, "SHA2-256") == 0 || OPENSSL_strcasecmp(name, "SHA256") == 0)
                question->digest_bytes = 32;
            else if (OPENSSL_strcasecmp(name, "SHA2-384") == 0
                     || OPENSSL_strcasecmp(name, "SHA384") == 0)
                question->digest_bytes = 48;
        } else if (strcmp(key, OSSL_KDF_PARAM_KEY) == 0) {
            COpenSSL_octets(parameters, &question->secret, &question->secret_bytes);
        } else if (strcmp(key, OSSL_KDF_PARAM_SALT) == 0) {
            COpenSSL_octets(parameters, &question->former, &question->former_bytes);
        } else if (strcmp(key, OSSL_KDF_PARAM_PREFIX) == 0) {
            COpenSSL_octets(parameters, &prefix, &prefix_bytes);
        } else if (strcmp(key, OSSL_KDF_PARAM_LABEL) == 0) {
            COpenSSL_octets(parameters, &question->label, &question->label_bytes);
        } else if (strcmp(key, OSSL_KDF_PARAM_DATA) == 0) {
            COpenSSL_octets(parameters, &question->data, &question->data_bytes);
        } else {
            return 0;
        }
    }
    question->is_extract = mode == EVP_KDF_HKDF_MODE_EXTRACT_ONLY;
    return (question->is_extract || mode == EVP_KDF_HKDF_MODE_EXPAND_ONLY)
        && question->digest_bytes > 0 && question->label_bytes <= 249 && question->data_bytes <= 255
        && prefix_bytes == 6 && memcmp(prefix, "tls13 ", 6) == 0;
}

// An RSA public key from its numbers, big-endian. NULL where they are none.
static inline EVP_PKEY *COpenSSL_RSA_public_key(const unsigned char *modulus, int modulus_bytes,
                                                const unsigned char *exponent,
                                                int exponent_bytes) {
    EVP_PKEY *key = NULL;
    BIGNUM *n = BN_bin2bn(modulus, modulus_bytes, NULL);
    BIGNUM *e = BN_bin2bn(exponent, exponent_bytes, NULL);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    OSSL_PARAM *parameters = NULL;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    if (n != NULL && e != NULL && builder != NULL && context != NULL
        && OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n)
        && OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e)
        && (parameters = OSSL_PARAM_BLD_to_param(builder)) != NULL
        && EVP_PKEY_fromdata_init(context) == 1)
        EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters);
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(parameters);
    OSSL_PARAM_BLD_free(builder);
    BN_free(e);
    BN_free(n);
    return key;
}

// One of the numbers of an RSA public key, big-endian; how many bytes it has, or -1.
static inline int COpenSSL_RSA_number(const EVP_PKEY *key, int is_modulus, unsigned char *output,
                                      int room) {
    BIGNUM *number = NULL;
    const char *name = is_modulus ? OSSL_PKEY_PARAM_RSA_N : OSSL_PKEY_PARAM_RSA_E;
    int count = -1;
    if (EVP_PKEY_get_bn_param(key, name, &number) == 1 && BN_num_bytes(number) <= room)
        count = BN_bn2bin(number, output);
    BN_free(number);
    return count;
}

// Sets up OAEP with SHA-256 for the digest and for MGF1 (RFC 8017, 7.1) and without a label.
static inline int COpenSSL_OAEP_256_init(EVP_PKEY_CTX *context, int is_wrapping) {
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_ASYM_CIPHER_PARAM_PAD_MODE,
                                         (char *)OSSL_PKEY_RSA_PAD_MODE_OAEP, 0),
        OSSL_PARAM_construct_utf8_string(OSSL_ASYM_CIPHER_PARAM_OAEP_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_utf8_string(OSSL_ASYM_CIPHER_PARAM_MGF1_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_end()};
    return is_wrapping ? EVP_PKEY_encrypt_init_ex(context, parameters)
                       : EVP_PKEY_decrypt_init_ex(context, parameters);
}

static inline int COpenSSL_ERR_GET_REASON(unsigned long code) { return ERR_GET_REASON(code); }

static inline unsigned long COpenSSL_XN_FLAG_RFC2253(void) { return XN_FLAG_RFC2253; }

// prctl(2) takes a variable number of arguments, which Swift does not import.
static inline int COpenSSL_prctl(int option, unsigned long value) {
    return prctl(option, value, 0, 0, 0);
}

#endif
