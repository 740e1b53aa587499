/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DEVICES_LSI53C895A_REGISTERS_H
#define DEVICES_LSI53C895A_REGISTERS_H

/* Register offsets and bits, named as in chapter 4 of the manual. */

enum lsi_reg {
	R_SCNTL0 = 0x00, R_SCNTL1 = 0x01, R_SCNTL2 = 0x02, R_SCNTL3 = 0x03,
	R_SCID = 0x04, R_SXFER = 0x05, R_SDID = 0x06, R_GPREG = 0x07,
	R_SFBR = 0x08, R_SOCL = 0x09, R_SSID = 0x0a, R_SBCL = 0x0b,
	R_DSTAT = 0x0c, R_SSTAT0 = 0x0d, R_SSTAT1 = 0x0e, R_SSTAT2 = 0x0f,
	R_DSA = 0x10, R_ISTAT0 = 0x14, R_ISTAT1 = 0x15, R_MBOX0 = 0x16, R_MBOX1 = 0x17,
	R_CTEST0 = 0x18, R_CTEST1 = 0x19, R_CTEST2 = 0x1a, R_CTEST3 = 0x1b, R_TEMP = 0x1c,
	R_DFIFO = 0x20, R_CTEST4 = 0x21, R_CTEST5 = 0x22, R_CTEST6 = 0x23,
	R_DBC = 0x24, R_DCMD = 0x27, R_DNAD = 0x28, R_DSP = 0x2c, R_DSPS = 0x30,
	R_SCRATCHA = 0x34, R_DMODE = 0x38, R_DIEN = 0x39, R_SBR = 0x3a, R_DCNTL = 0x3b,
	R_ADDER = 0x3c, R_SIEN0 = 0x40, R_SIEN1 = 0x41, R_SIST0 = 0x42, R_SIST1 = 0x43,
	R_SLPAR = 0x44, R_SWIDE = 0x45, R_MACNTL = 0x46, R_GPCNTL = 0x47,
	R_STIME0 = 0x48, R_STIME1 = 0x49, R_RESPID0 = 0x4a, R_RESPID1 = 0x4b,
	R_STEST0 = 0x4c, R_STEST1 = 0x4d, R_STEST2 = 0x4e, R_STEST3 = 0x4f,
	R_SIDL = 0x50, R_STEST4 = 0x52, R_SODL = 0x54, R_CCNTL0 = 0x56, R_CCNTL1 = 0x57,
	R_SBDL = 0x58, R_SCRATCHB = 0x5c, R_SCRATCHC = 0x60,
	R_MMRS = 0xa0, R_MMWS = 0xa4, R_SFS = 0xa8, R_DRS = 0xac, R_SBMS = 0xb0, R_DBMS = 0xb4,
	R_DNAD64 = 0xb8, R_PMJAD1 = 0xc0, R_PMJAD2 = 0xc4, R_RBC = 0xc8, R_UA = 0xcc,
	R_ESA = 0xd0, R_IA = 0xd4, R_SBC = 0xd8, R_CSBC = 0xdc,
};

#define SCNTL0_TRG 0x01
#define SCNTL1_IARB 0x02
#define SCNTL1_RST 0x08
#define SCNTL1_CON 0x10
#define SCNTL2_WSR 0x01
#define SCNTL2_WSS 0x08
#define SCNTL2_SDU 0x80
#define SCID_RRE 0x40

#define BUS_IO 0x01	/* the signals of SOCL and SBCL */
#define BUS_CD 0x02
#define BUS_MSG 0x04
#define BUS_ATN 0x08
#define BUS_BSY 0x20
#define BUS_ACK 0x40
#define BUS_REQ 0x80

#define DSTAT_IID 0x01
#define DSTAT_SIR 0x04
#define DSTAT_SSI 0x08
#define DSTAT_ABRT 0x10
#define DSTAT_BF 0x20
#define DSTAT_DFE 0x80

#define SSTAT0_WOA 0x04
#define SSTAT0_RST 0x02
#define SSTAT2_LDSC 0x02

#define ISTAT0_DIP 0x01
#define ISTAT0_SIP 0x02
#define ISTAT0_INTF 0x04
#define ISTAT0_CON 0x08
#define ISTAT0_SIGP 0x20
#define ISTAT0_SRST 0x40
#define ISTAT0_ABRT 0x80
#define ISTAT1_SI 0x01
#define ISTAT1_SRUN 0x02

#define CTEST2_DACK 0x01
#define CTEST2_PCICIE 0x08
#define CTEST2_CM 0x10
#define CTEST2_SIGP 0x40

#define DMODE_MAN 0x01
#define DMODE_DIOM 0x10
#define DMODE_SIOM 0x20
#define DCNTL_COM 0x01
#define DCNTL_IRQD 0x02
#define DCNTL_STD 0x04
#define DCNTL_SSM 0x10
#define DCNTL_PFF 0x40

/* SIST0 and SIST1 as one number */
#define SIST_RST 0x0002
#define SIST_UDC 0x0004
#define SIST_RSL 0x0010
#define SIST_SEL 0x0020
#define SIST_CMP 0x0040
#define SIST_MA 0x0080
#define SIST_HTH 0x0100
#define SIST_GEN 0x0200
#define SIST_STO 0x0400

#define STEST3_CSF 0x02
#define CTEST3_CLF 0x04
#define CTEST3_FLF 0x08

#define CCNTL0_ENPMJ 0x80
#define CCNTL0_PMJCTL 0x40
#define CCNTL0_ENNDJ 0x20
#define CCNTL1_DDAC 0x08
#define CCNTL1_64TIMOD 0x04
#define CCNTL1_EN64TIBMV 0x02
#define CCNTL1_EN64DBMV 0x01

#endif
